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
    for (new_id,) in decode_rows(model, ids, config, [config.seed], cached):
        yield new_id


@torch.inference_mode()
def decode_rows(model, ids, config, seeds, cached=True):
    """Continue `ids` once for each seed, side by side; yields lists of ids, one for each row."""
    rows = torch.tensor(ids).repeat(len(seeds), 1)  # (B, T)
    block_size, cache, cache_start = model.config.block_size, None, None
    device = next(model.parameters()).device
    for _ in range(config.max_new_chars):
        length = rows.size(1)
        start = context_start(length, block_size)
        if cached and start == cache_start:
            unread = rows[:, -1:]
        else:
            cache, cache_start = model.new_cache(len(seeds)) if cached else None, start
            unread = rows[:, start:]
        logits = model(unread.to(device), cache)[:, -1].cpu()  # (B, V)
        probabilities = distribution(logits, config)
        new_ids = [
            choose(row, uniform(seed, length))
            for row, seed in zip(probabilities, seeds, strict=True)
        ]
        rows = torch.cat([rows, torch.tensor(new_ids).unsqueeze(1)], dim=1)
        yield new_ids


@torch.inference_mode()
def score(model, ids):
    """Log-probabilities of what follows each of the first N of `ids` (N + 1 of them).

    Yields them in parts, each (n, V), that are N together: of all at once, a long text in a large
    alphabet would fill the memory.
    """
    block_size, n = model.config.block_size, len(ids) - 1
    device = next(model.parameters()).device
    done = 0
    while done < n:
        start = context_start(done + 1, block_size)
        end = min(n, start + block_size)
        logits = model(torch.tensor([ids[start:end]], device=device))[0].cpu()  # (T, V)
        yield logits[done - start :].log_softmax(dim=-1)
        done = end
