"""Batches of windows of a text."""

import torch

from charlm.rng import EPOCH, fold_in


def batch(ids, batch_size, block_size, seed, step, order="random"):
    """Return windows of `ids` and the same windows one character later: (B, T) each, int64.

    `order`: as in TrainConfig. The batch is a pure function of (seed, step), so a resumed run
    trains on the same batches as an uninterrupted one.
    """
    if order == "epochs":
        starts = epoch_starts(len(ids), batch_size, block_size, seed, step)
    else:
        generator = torch.Generator().manual_seed(fold_in(seed, step))
        starts = torch.randint(len(ids) - block_size, (batch_size,), generator=generator)
    windows = ids[starts.unsqueeze(1) + torch.arange(block_size + 1)]  # (B, T + 1)
    return windows[:, :-1], windows[:, 1:]


def epoch_starts(length, batch_size, block_size, seed, step):
    """Return the starts (B,) of a step's windows; an epoch contains every window once.

    The windows of an epoch do not overlap. Each epoch has its own order and its own offset of up to
    two windows, so that the same character has different contexts in different epochs.
    """
    room = length - 1  # the last character is a target only
    n = max(1, room // block_size - 1)
    counters = range(step * batch_size, (step + 1) * batch_size)
    starts = []
    for epoch in range(counters[0] // n, counters[-1] // n + 1):
        generator = torch.Generator().manual_seed(fold_in(seed, epoch, EPOCH))
        shift = torch.randint(room - n * block_size + 1, (1,), generator=generator)
        order = torch.randperm(n, generator=generator)
        within = slice(max(counters[0] - epoch * n, 0), counters[-1] + 1 - epoch * n)
        starts.append(order[within] * block_size + shift)
    return torch.cat(starts)


def windows(ids, block_size, batch_size):
    """Yield all of `ids` as (inputs, targets) batches of windows without overlaps or gaps.

    Every character but the first is a target once. The last window may be shorter.
    """
    n = (len(ids) - 1) // block_size * block_size
    inputs, targets = ids[:n].view(-1, block_size), ids[1 : n + 1].view(-1, block_size)
    if n:  # `split` would yield one empty batch
        yield from zip(inputs.split(batch_size), targets.split(batch_size), strict=True)
    if n < len(ids) - 1:
        yield ids[n:-1].unsqueeze(0), ids[n + 1 :].unsqueeze(0)
