"""One run in several processes, as torchrun starts them; a run in one process is the case of one.

Every process computes the gradient of its rows of each batch, the gradients are added up, and all
take the same step. The first process alone reads, evaluates and writes.
"""

import contextlib
import os

import torch.distributed as dist

from charlm.errors import CharlmError


class ProcessLost(CharlmError):
    """Another process of the run is gone, so this one cannot go on."""


class World:
    """The processes of a run; this one is number `rank` of `size`."""

    def __init__(self, rank=0, size=1):
        self.rank, self.size = rank, size

    def rows(self, count):
        """Which of `count` rows are this process's, as a slice."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def all_reduce(self, tensor):
        """Replace `tensor` in every process by the sum of all. Raises ProcessLost."""
        if self.size > 1:
            with explained():
                dist.all_reduce(tensor)

    def broadcast(self, value=None):
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
    except RuntimeError as error:
        told = str(error).strip().splitlines()
        raise ProcessLost(
            f"another process of this run is gone ({told[-1] if told else error!r})"
        ) from error


@contextlib.contextmanager
def join():
    """The World that torchrun started this process in; a world of one without torchrun.

    What is exchanged is small, so it goes by gloo, from the CPU, wherever the models are.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    dist.init_process_group("gloo")
    try:
        yield World(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def own_device(kind):
    """Which device of a kind is this process's: torchrun counts the processes of a machine."""
    return (
        f"cuda:{os.environ['LOCAL_RANK']}"
        if kind == "cuda" and "LOCAL_RANK" in os.environ
        else kind
    )
