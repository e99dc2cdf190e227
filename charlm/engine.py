"""Decoding: token ids in, token ids out. It knows nothing of text.

The context is what the model sees of the text so far. It grows up to block_size characters; then
the older half is dropped and the rest read anew, and it grows again. So it is a function of the
text's length alone, and decoding with a cache gives the text that decoding without one gives.
"""

import torch

from charlm.sampling import choose, distribution, uniform


def context_start(length, block_size):
    """Where the context begins in a text of `length` characters; it ends where the text does."""
    if length <= block_size:
        return 0
    dropped = max(1, block_size // 2)  # at a time
    return -(-(length - block_size) // dropped) * dropped


@torch.inference_mode()
def decode(model, ids, config, cached=True):
    """Continue `ids` (at least one); yields config.max_new_chars ids, one by one.

    The choice at a position of the text depends on (config.seed, position) and the logits only.
    `cached=False` reads the whole context anew for every character: slow, and the same text.
    """
    ids, block_size, cache, cache_start = list(ids), model.config.block_size, None, None
    device = next(model.parameters()).device
    for _ in range(config.max_new_chars):
        start = context_start(len(ids), block_size)
        if cached and start == cache_start:
            unread = ids[-1:]
        else:
            cache, cache_start = model.new_cache(1) if cached else None, start
            unread = ids[start:]
        logits = model(torch.tensor([unread], device=device), cache)[:, -1].cpu()  # (1, V)
        probabilities = distribution(logits, config)[0]
        ids.append(choose(probabilities, uniform(config.seed, len(ids))))
        yield ids[-1]


@torch.inference_mode()
def score(model, ids):
    """Log-probabilities (N, V) of what follows each of the first N of `ids` (N + 1 of them)."""
    block_size, n, rows = model.config.block_size, len(ids) - 1, []
    device = next(model.parameters()).device
    done = 0
    while done < n:
        start = context_start(done + 1, block_size)
        end = min(n, start + block_size)
        logits = model(torch.tensor([ids[start:end]], device=device))[0].cpu()  # (T, V)
        rows.append(logits[done - start :].log_softmax(dim=-1))
        done = end
    return torch.cat(rows)
