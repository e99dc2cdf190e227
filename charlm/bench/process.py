"""Run a command in a separate process and measure it."""

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
    """A measurement failed; the message says why."""


def measured(command):
    """Run a command with cold compile caches; return its seconds, output and peak memory in bytes.

    Linux counts the memory of the parent at the fork, so a peak is never below this process's own.
    """
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        # torch stores compiled code and its headers in these directories
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "TMPDIR": cache}
        process = subprocess.Popen(command, stdout=output, env=environment, cwd=REPOSITORY)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise BenchError(f"{' '.join(command)} ended with status {process.returncode}")
        output.seek(0)
        return seconds, output.read(), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
