"""Step 05: the whole of mydocker. ./mydocker, in the project's root, runs this."""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(5, "learn")

from mydocker.cli.main import main

if __name__ == "__main__":
    main()
