"""Counter-based randomness: functions of a seed and counters, with no generator state to save.

So a resumed run draws the same numbers as an uninterrupted one, several processes the same as one
process, and a text the same in a batch as alone.
"""

import hashlib

import torch

# The last counter of a seed, except that of a random training batch, says what it is for.
DROPOUT, TRAIN_ESTIMATE, EPOCH, VAL_ESTIMATE, WRITTEN = 1, 2, 3, 4, 5


def fold_in(seed, *counters):
    """Return a 32-bit seed, a well-mixed function of `seed` and `counters` (integers)."""
    message = ",".join(map(str, (seed, *counters)))
    return int.from_bytes(hashlib.blake2b(message.encode(), digest_size=4).digest(), "little")


def uniform(seed, position):
    """Return a number in [0, 1), a function of (seed, position)."""
    return fold_in(seed, position) / 2**32


def random_seeds(count, seed, *counters):
    """Return `count` seeds for `dropout`, (count,) int32, a function of the seed and counters."""
    generator = torch.Generator().manual_seed(fold_in(seed, *counters))
    return torch.randint(-(2**31), 2**31, (count,), generator=generator, dtype=torch.int32)


def mix_bits(x):
    """Hash int32 to int32, one to one: the finalizer of MurmurHash3 (Appleby 2011)."""
    x = (x ^ (x >> 16 & 0xFFFF)) * -0x7A143595
    x = (x ^ (x >> 13 & 0x7FFFF)) * -0x3D4D51CB
    return x ^ (x >> 16 & 0xFFFF)


def dropout(x, p, seeds):
    """Zero a random fraction p of x (B, ...) and scale up the rest; `seeds` (B,) int32, per row.

    Seeds of None drop nothing. Hashing counters, unlike a generator, compiles to vector
    instructions, lets the backward pass recompute the mask instead of storing it, and does not
    depend on which process computes which rows.
    """
    if seeds is None:
        return x
    counters = torch.arange(x[0].numel(), dtype=torch.int32, device=x.device).view(x[0].shape)
    bits = mix_bits(mix_bits(counters) ^ seeds.view(-1, *[1] * (x.ndim - 1)))
    return torch.where(bits >= int(2**32 * p) - 2**31, x / (1 - p), 0.0)
