"""``--explain=json``: each request as one line of JSON, for programs that read it.

``{"number": 3, "side": "host", "call": "mkdir", "arguments": ["/sys/…", 493], "why": "…", "result":
null, "error": 0}``: the fields of :class:`mydocker.kernel.trace.Event`.
"""

import json
from typing import TextIO

from mydocker.kernel.errors import KernelError
from mydocker.kernel.records import asdict
from mydocker.kernel.trace import Event


class Recorder:
    """A listener that writes to the file ``path``, or for "" to ``stream``."""

    def __init__(self, path: str, stream: TextIO) -> None:
        try:
            self._stream = open(path, "w") if path else stream  # noqa: SIM115
        except OSError as error:
            raise KernelError("open", (path,), error.errno or 0) from None

    def __call__(self, event: Event) -> None:
        told = asdict(event)
        if not isinstance(event.result, int | str | list | tuple | None):
            told["result"] = None
        self._stream.write(json.dumps(told) + "\n")
        self._stream.flush()
