"""Put all steps on the import path, as their ``main.py`` do, before any is imported."""

import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_handler = signal.getsignal(signal.SIGINT)
sys.path.insert(0, str(ROOT / "steps"))
from layers import stack  # noqa: E402

stack(5, "learn")
signal.signal(signal.SIGINT, _handler)  # "interrupt" of a notebook is for the cell
