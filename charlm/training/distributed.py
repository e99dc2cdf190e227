"""One run in several processes, as torchrun starts them; a run in one process is a world of one.

Every process computes the gradient of its rows of each batch. The gradients are summed, and all
processes take the same step. Only the first process reads the text, evaluates and saves.
"""

import contextlib
import os

import torch.distributed as dist

from charlm.errors import CharlmError

NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # besides WORLD_SIZE; torchrun sets all


class ProcessLost(CharlmError):
    """Another process of the run has exited, so this one cannot continue."""


class World:
    """The processes of a run; this one is number `rank` of `size`."""

    def __init__(self, rank=0, size=1):
        self.rank, self.size = rank, size

    def rows(self, count):
        """Return the slice of `count` rows that this process computes."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def all_reduce(self, tensor):
        """Replace `tensor` in every process by the sum over all. Raises ProcessLost."""
        if self.size > 1:
            with raise_process_lost():
                dist.all_reduce(tensor)

    def broadcast(self, value=None):
        """Return the first process's `value` in every process. Raises ProcessLost."""
        if self.size == 1:
            return value
        values = [value]
        with raise_process_lost():
            dist.broadcast_object_list(values)
        return values[0]


@contextlib.contextmanager
def raise_process_lost():
    """Raise the error of a failed exchange as ProcessLost."""
    try:
        yield
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        reason = lines[-1] if lines else repr(error)
        raise ProcessLost(f"another process of this run is gone ({reason})") from error


@contextlib.contextmanager
def join():
    """Yield (World, note): the World that torchrun started this process in.

    It is a world of one without torchrun, or if the environment has only a part of what torchrun
    sets, as on clusters; the note then says so. Raises ProcessLost if the processes do not meet.

    Exchanges are small, so they use gloo on the CPU, wherever the models are.
    """
    size = os.environ.get("WORLD_SIZE", "").strip()
    missing = [name for name in NEEDED if not os.environ.get(name, "").strip()]
    if size in ("", "0", "1") or missing:
        given = size not in ("", "0", "1")
        note = f"WORLD_SIZE is {size} without {', '.join(missing)}, so this process trains alone"
        yield World(), note if given else ""
        return
    try:
        dist.init_process_group("gloo")
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ProcessLost(f"the processes of this run do not meet ({reason})") from None
    try:
        yield World(dist.get_rank(), dist.get_world_size()), ""
    finally:
        dist.destroy_process_group()


def local_device(kind):
    """Return the device of a kind that this process uses: with CUDA, torchrun's local rank."""
    if kind == "cuda" and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return kind
