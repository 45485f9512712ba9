"""Start-up time, as a user experiences it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

from .race import Race


def start(quick: bool) -> Iterator[Race]:
    """``import scratchnet`` and ``scratchnet --help`` in a new process, including the start of Python."""
    peers = {"Python alone": lambda: _process("pass"), "import numpy": lambda: _process("import numpy")}
    yield Race("import scratchnet", "new process", lambda: _process("import scratchnet"), peers, parts=True)
    cli = "import sys; sys.argv = ['scratchnet', '--help']; from scratchnet.cli import main; main()"
    yield Race("scratchnet --help", "new process", lambda: _process(cli), peers, parts=True)


def _process(code: str) -> Callable[[], None]:
    return lambda: subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL) and None
