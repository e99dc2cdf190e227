"""The processes of a run other than the first, as torchrun starts them."""

import sys

from charlm.errors import CharlmError
from charlm.runs.failure import explain_failure
from charlm.runs.setup import choose_device
from charlm.training.signals import stop_on_signals


def run_worker(world, device):
    """Train along with the first process, which broadcasts the setup; returns the exit status.

    `device`: as in choose_device. Workers log, print and save nothing but their own failure.
    """
    try:
        trainer = world.broadcast().trainer(choose_device(device), world)
        stop_on_signals(trainer)
        *_, last = trainer.events()
    except (CharlmError, MemoryError, RuntimeError) as error:
        if not (message := explain_failure(error)):
            raise
        print(f"train.py, process {world.rank}: {message}", file=sys.stderr)
        return 1
    return 1 if last.reason == "failed" else 0
