"""Counter-based randomness: functions of a seed and counters, with no hidden generator state."""

import hashlib

import torch


def fold_in(seed, *counters):
    """A 32-bit seed that is a fixed, well-mixed function of `seed` and `counters` (integers).

    Everything random in charlm comes from here: no hidden generator state to save or to share.
    """
    message = ",".join(map(str, (seed, *counters)))
    return int.from_bytes(hashlib.blake2b(message.encode(), digest_size=4).digest(), "little")


def uniform(seed, position):
    """A number in [0, 1) that is a fixed function of (seed, position)."""
    return fold_in(seed, position) / 2**32


def mix(x):
    """Hash int32 to int32, one to one: the last steps of MurmurHash3 (Appleby 2011)."""
    x = (x ^ (x >> 16 & 0xFFFF)) * -0x7A143595
    x = (x ^ (x >> 13 & 0x7FFFF)) * -0x3D4D51CB
    return x ^ (x >> 16 & 0xFFFF)


def dropout(x, share, seeds):
    """Zero a random share of x (B, ...), a function of each row's seed in `seeds` (B,) int32.

    Hashing a counter rather than asking a generator: it compiles to vector instructions, can be
    done again in the backward pass instead of storing the mask, and it does not matter which
    process has which rows. Seeds of None drop nothing.
    """
    if seeds is None:
        return x
    counters = torch.arange(x[0].numel(), dtype=torch.int32, device=x.device).view(x[0].shape)
    bits = mix(mix(counters) ^ seeds.view(-1, *[1] * (x.ndim - 1)))
    return torch.where(bits >= int(2**32 * share) - 2**31, x / (1 - share), 0.0)
