"""Commands that are measured, each in a process of its own."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from charlm.errors import CharlmError

REPOSITORY = Path(__file__).parent.parent.parent
CHECKPOINTS = REPOSITORY / "checkpoints"


class BenchError(CharlmError):
    """A measurement that did not come about."""


def measured(command):
    """Run a command with nothing compiled before; its seconds, output and peak memory in bytes.

    Linux counts what the starting process held, so a peak is never below this process's own.
    """
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryFile("w+") as told:
        began = time.perf_counter()
        # torch keeps what it compiled, and the headers it needs for that, below both
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "TMPDIR": cache}
        process = subprocess.Popen(command, stdout=told, env=environment, cwd=REPOSITORY)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise BenchError(f"{' '.join(command)} ended with status {process.returncode}")
        told.seek(0)
        return seconds, told.read(), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
