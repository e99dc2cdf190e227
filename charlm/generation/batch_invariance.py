"""Matrix products that round a row the same way, however many rows are computed with it.

A text must not depend on the texts beside it. All other operations of a decoding step treat rows
separately, but the rounding of a matrix product may depend on the number of rows. Where it does,
products are computed in tiles of a fixed number of rows.
"""

import functools

import torch
import torch.nn.functional as F

TILE = 8  # rows
# numbers of rows in a step; others are padded to the next; three or fewer round differently on
# some AMD processors
SIZES = (4, *range(TILE, 129, TILE), *range(160, 257, 32))


def padded_size(rows):
    """Return the smallest of SIZES with room for this many rows."""
    return next(size for size in SIZES if size >= rows)


def tiled_product(x, weight):
    """Return x (R, in) @ weight (in, out), computed in tiles of TILE rows."""
    tiles = F.pad(x, (0, 0, 0, -len(x) % TILE)).view(-1, TILE, x.size(1))
    return torch.bmm(tiles, weight.expand(len(tiles), -1, -1)).flatten(0, 1)[: len(x)]


@functools.cache
def products_are_batch_invariant(n_in, n_out):
    """Test whether products of this shape round a row alike on this machine, for all SIZES."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SIZES[-1], n_in, generator=generator)
    weight = torch.randn(n_in, n_out, generator=generator)
    bias = torch.randn(SIZES[-1], n_out, generator=generator)
    product, sum_ = x @ weight, torch.addmm(bias, x, weight)
    return all(
        torch.equal(x[:n] @ weight, product[:n])
        and torch.equal(torch.addmm(bias[:n], x[:n], weight), sum_[:n])
        for n in SIZES
    )
