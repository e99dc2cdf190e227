"""How much memory a run takes, and how much there is."""

import contextlib
import os
from pathlib import Path

from charlm.models.sizes import parameter_count

BASE_MEGABYTES = 330  # of a process that trains a tiny model
FLOATS_PER_CHANNEL = 30  # that a block keeps of each character for the backward pass
CGROUP = Path("/sys/fs/cgroup")


def run_megabytes(kind, model, training):
    """Return about how many megabytes of memory a run of these configs takes on a CPU.

    Measured without torch.compile, which takes less: 430 MB for `fast`, 1,249 for `fast` with a
    batch_size of 64, 1,143 for `gpt`; this says 477, 1,369 and 1,382.
    """
    chars = training.batch_size * model.block_size
    # weights, gradients, two moments, a moving average, and a copy that is being saved
    weights = 24 * parameter_count(kind, model)
    activations = 3 * model.vocab_size
    if kind == "gpt":
        activations += FLOATS_PER_CHANNEL * model.n_layer * model.n_embd
    return BASE_MEGABYTES + (weights + 4 * chars * activations) / 1e6


def available_megabytes():
    """Return the memory that this process can still get, swap included; inf if unknown."""
    return min(system_bytes(), container_bytes(), address_space_bytes()) / 1e6


def system_bytes():
    """Return the free memory of the machine."""
    with contextlib.suppress(OSError, KeyError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes["SwapFree"])
    with contextlib.suppress(OSError, ValueError, AttributeError):  # macOS: the memory in all
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return float("inf")


def container_bytes():
    """Return what is left of a container's limit, files in the cache not counted as used."""
    for folder, limit, used, cache in (
        (CGROUP, "memory.max", "memory.current", "inactive_file"),
        (
            CGROUP / "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ):
        with contextlib.suppress(OSError, ValueError, KeyError):  # no such file, or "max"
            lines = (folder / "memory.stat").read_text().splitlines()
            cached = int(dict(line.split() for line in lines)[cache])
            return int((folder / limit).read_text()) - int((folder / used).read_text()) + cached
    return float("inf")


def address_space_bytes():
    """Return what is left of the limit that `ulimit -v` sets."""
    with contextlib.suppress(OSError, ImportError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        if limit != resource.RLIM_INFINITY:
            return limit - pages * resource.getpagesize()
    return float("inf")
