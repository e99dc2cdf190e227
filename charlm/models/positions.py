"""Rotary positions: queries and keys rotated by angles that grow with position (Su et al. 2021)."""

import torch


def rotary_angles(block_size, head_size, base=10000.0):
    """Return cosines and sines (T, D): position t rotates channel pair i by t * base^(-2i/D)."""
    frequencies = base ** (-torch.arange(0, head_size, 2) / head_size)  # (D/2,)
    angles = torch.outer(torch.arange(block_size), frequencies).repeat(1, 2)  # (T, D)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Rotate each pair (i, i + D/2) of the channels of x (B, H, T, D) by its angle.

    The dot product of a query and a key rotated like this depends on their positions only
    through the distance between them.
    """
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
