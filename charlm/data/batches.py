"""A text cut into batches of windows."""

import torch

from charlm.rng import fold_in


def batch(ids, batch_size, block_size, seed, step, order="random"):
    """Windows of `ids` and the same windows one character on: (B, T) and (B, T), int64.

    `order` is TrainConfig's. A pure function of (seed, step), so a resumed run sees what an
    uninterrupted one would.
    """
    if order == "epochs":
        starts = epoch_starts(len(ids), batch_size, block_size, seed, step)
    else:
        generator = torch.Generator().manual_seed(fold_in(seed, step))
        starts = torch.randint(len(ids) - block_size, (batch_size,), generator=generator)
    windows = ids[starts.unsqueeze(1) + torch.arange(block_size + 1)]  # (B, T + 1)
    return windows[:, :-1], windows[:, 1:]


def epoch_starts(length, batch_size, block_size, seed, step):
    """Where the windows (B,) of a step begin, if every window is to come before any comes again.

    An epoch's windows do not overlap. Each epoch has its own order and begins elsewhere, up to two
    windows into the text, so that a character is not always seen with the same ones before it.
    """
    room = length - 1  # the last character is only ever a target
    n = max(1, room // block_size - 1)
    counters = range(step * batch_size, (step + 1) * batch_size)
    starts = []
    for epoch in range(counters[0] // n, counters[-1] // n + 1):
        generator = torch.Generator().manual_seed(fold_in(seed, epoch, 3))
        shift = torch.randint(room - n * block_size + 1, (1,), generator=generator)
        order = torch.randperm(n, generator=generator)
        within = slice(max(counters[0] - epoch * n, 0), counters[-1] + 1 - epoch * n)
        starts.append(order[within] * block_size + shift)
    return torch.cat(starts)


def windows(ids, block_size, batch_size):
    """All of `ids` as (inputs, targets) batches of windows that neither overlap nor leave a gap.

    Every character but the first is a target once; the last window may be shorter.
    """
    n = (len(ids) - 1) // block_size * block_size
    inputs, targets = ids[:n].view(-1, block_size), ids[1 : n + 1].view(-1, block_size)
    if n:  # of no rows at all, `split` would still give one part
        yield from zip(inputs.split(batch_size), targets.split(batch_size), strict=True)
    if n < len(ids) - 1:
        yield ids[n:-1].unsqueeze(0), ids[n + 1 :].unsqueeze(0)
