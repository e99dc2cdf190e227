"""What counting alone scores on a text: the lines that give a loss its meaning."""

import math

import torch

from charlm.data.corpus import SHA256

LECTURE_LOSS = 1.5492  # the lecture's transformer after 9,000 steps, on Tiny Shakespeare


def baselines(train_ids, val_ids, vocab_size):
    """Validation losses, in nats per character, of three models that need no training.

    `uniform`: every character is as likely, ln V. `unigram`: how often each occurs. `bigram`: how
    often each follows the one before it, exactly what the lecture's bigram model is after. The ids,
    (N,) and (M,), are those of the two splits; only the training split is counted. So that nothing
    is impossible, every character is counted once more, and as if each had once been followers by
    an average one.
    """
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    unigram = counts / counts.sum()  # (V,)
    before, after = val_ids[:-1], val_ids[1:]
    # the pairs that occur are few beside V * V, which a text of many alphabets could not afford
    pairs, times = torch.unique(
        train_ids[:-1] * vocab_size + train_ids[1:], sorted=True, return_counts=True
    )
    wanted = before * vocab_size + after
    index = torch.searchsorted(pairs, wanted).clamp(max=len(pairs) - 1)
    seen = torch.where(pairs[index] == wanted, times[index], 0)
    followers = torch.bincount(train_ids[:-1], minlength=vocab_size)[before]
    bigram = (seen + unigram[after]) / (followers + 1)
    losses = {
        "uniform": math.log(vocab_size),
        "unigram": -unigram[after].log().mean().item(),
        "bigram": -bigram.log().mean().item(),
    }
    return {name: round(loss, 6) for name, loss in losses.items()}


def reference_losses(start):
    """The losses to compare a run with, by name, from the `start` event of its log.

    A run from before they were logged has only what its vocabulary says.
    """
    counted = start.get("baselines", {"uniform": math.log(start["config"]["model"]["vocab_size"])})
    losses = {name: counted[name] for name in ("uniform", "unigram", "bigram") if name in counted}
    if start["data"].get("sha256") == SHA256:
        losses["lecture"] = LECTURE_LOSS
    return losses
