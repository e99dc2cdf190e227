"""One run in several processes, as torchrun starts them; a run in one process is the case of one.

Every process computes the gradient of its rows of each batch, the gradients are added up, and all
take the same step. The first process alone reads, evaluates and writes.
"""

import contextlib
import os

import torch
import torch.distributed as dist

from charlm.config import CharlmError


class ProcessLost(CharlmError):
    """Another process of the run is gone, so this one cannot go on."""


class World:
    """The processes of a run; this one is number `rank` of `size`."""

    def __init__(self, rank=0, size=1):
        self.rank, self.size = rank, size

    def rows(self, count):
        """Which of `count` rows are this process's, as a slice."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add_up(self, tensor):
        """Replace `tensor` in every process by the sum of all. Raises ProcessLost."""
        if self.size > 1:
            with explained():
                dist.all_reduce(tensor)

    def share(self, value=None):
        """The first process's `value`, in every process. Raises ProcessLost."""
        if self.size == 1:
            return value
        values = [value]
        with explained():
            dist.broadcast_object_list(values)
        return values[0]


@contextlib.contextmanager
def explained():
    """Say what it means when the others do not answer."""
    try:
        yield
    except RuntimeError:
        raise ProcessLost("another process of this run is gone") from None


@contextlib.contextmanager
def join():
    """The World that torchrun started this process in; a world of one without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield World(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()
