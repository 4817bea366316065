"""Step 08: an OCI runtime with runc's command line. ./mydocker-runtime, in the root, runs this."""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(8, packages_needed=False)

from mydocker.runtime.commandline import main

if __name__ == "__main__":
    main()
