"""Reference losses: those of models that only count, and the lecture's."""

import math

import torch

from charlm.data.corpus import SHA256

LECTURE_LOSS = 1.5492  # the lecture's transformer after 9,000 steps, on Tiny Shakespeare


def baselines(train_ids, val_ids, vocab_size):
    """Return the validation losses, in nats per character, of three models that only count.

    `uniform`: every character is equally likely, so the loss is ln V. `unigram`: the frequency of
    each character. `bigram`: the frequency of each character after the one before it, which the
    lecture's bigram model learns, too. `train_ids` (N,) are counted and `val_ids` (M,) are scored.
    Smoothing keeps every probability above zero: each character is counted once more, and has one
    extra successor, distributed as in the unigram model.
    """
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    unigram = counts / counts.sum()  # (V,)
    before, after = val_ids[:-1], val_ids[1:]
    # sparse counts: a table of V * V would be too large for a text with many alphabets
    pairs, times = torch.unique(
        train_ids[:-1] * vocab_size + train_ids[1:], sorted=True, return_counts=True
    )
    val_pairs = before * vocab_size + after
    index = torch.searchsorted(pairs, val_pairs).clamp(max=len(pairs) - 1)
    occurrences = torch.where(pairs[index] == val_pairs, times[index], 0)
    followers = torch.bincount(train_ids[:-1], minlength=vocab_size)[before]
    bigram = (occurrences + unigram[after]) / (followers + 1)
    losses = {
        "uniform": math.log(vocab_size),
        "unigram": -unigram[after].log().mean().item(),
        "bigram": -bigram.log().mean().item(),
    }
    return {name: round(loss, 6) for name, loss in losses.items()}


def reference_losses(start):
    """Return the losses to compare a run with, by name, from the start event of its log.

    A log without baselines has at most the uniform one, which follows from the vocabulary.
    """
    losses = start.get("baselines")
    if losses is None:
        V = start["config"].get("model", {}).get("vocab_size")
        losses = {"uniform": math.log(V)} if V else {}
    names = ("uniform", "unigram", "bigram", "teachers")
    losses = {name: losses[name] for name in names if name in losses}
    if start["data"].get("sha256") == SHA256:
        losses["lecture"] = LECTURE_LOSS
    return losses
