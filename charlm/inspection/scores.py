"""How well a model predicts a text, character by character."""

import math

import torch

from charlm.generation.stream import context_start

TOP_CHARS = 5  # likeliest characters that a score lists at each position


def score(model, tokenizer, text):
    """Return the surprise of a model at each character of `text`, in bits, as plain JSON values.

    `text`: one or more known characters. The first one is predicted from the tokenizer's start
    character. The value is {"bits_per_char": mean, "chars": [{"char": c, "bits": -log2 p(c),
    "top": [[char, probability], ...]}, ...]}; `top` lists the TOP_CHARS likeliest characters.
    """
    ids = tokenizer.encode(tokenizer.start_char + text)
    chars = []
    for rows in log_probabilities(model, ids):  # (n, V)
        likeliest = rows.topk(min(TOP_CHARS, tokenizer.vocab_size))  # (n, TOP_CHARS)
        done = len(chars)
        targets = torch.tensor(ids[done + 1 : done + 1 + len(rows)])
        nats = -rows.gather(1, targets[:, None])[:, 0]
        values = nats.tolist(), likeliest.indices.tolist(), likeliest.values.exp().tolist()
        for char, n, indices, probabilities in zip(text[done:], *values, strict=False):
            top = zip(tokenizer.decode(indices), probabilities, strict=True)
            chars.append({"char": char, "bits": n / math.log(2), "top": [*map(list, top)]})
    return {"bits_per_char": sum(c["bits"] for c in chars) / len(chars), "chars": chars}


@torch.inference_mode()
def log_probabilities(model, ids):
    """Yield the log-probabilities, in nats, of the id after each of `ids` except the last.

    N + 1 ids give N rows, in parts of (n, V): the rows of a long text in a large alphabet would not
    fit in memory at once. Each row has the same context as in decoding.
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
