"""The loss of a model on a split, in nats per character."""

import torch
import torch.nn.functional as F

from charlm.data.batches import batch, windows
from charlm.rng import TRAIN_ESTIMATE, VAL_ESTIMATE, fold_in

CHARS = 2048  # characters in a batch of the full loss, about: larger ones leave the caches


def cross_entropy(model, x, y, seeds=None):
    """Return the mean loss of predicting y from x (B, T) int64; `seeds` (B,) for dropout.

    y (B, T) int64 has the characters, or (B, T, V) their probabilities.
    """
    device = next(model.parameters()).device
    logits = model(x.to(device), seeds=seeds)  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1), y.to(device).flatten(0, 1))


@torch.no_grad()
def evaluate(model, train_ids, val_ids, config):
    """Yield (characters done, of all, losses), after each batch; losses is None until the end.

    The losses are those of an Eval event, by name. `config`: a TrainConfig. Every evaluation of a
    run uses the same random batches; their seeds differ from training's.
    """
    n, T = config.eval_iters, model.config.block_size
    total, done, losses = 2 * n * config.batch_size * T + len(val_ids), 0, {}
    parts = {
        "train_loss": estimate(model, train_ids, config, fold_in(config.seed, TRAIN_ESTIMATE)),
        "val_loss": whole(model, val_ids),
        "val_estimate": estimate_val(model, val_ids, config),
    }
    for name, batches in parts.items():
        summed, chars = 0.0, 0
        for loss, count in batches:
            summed, chars, done = summed + loss * count, chars + count, done + count
            yield done, total, None
        losses[name] = summed / chars
    yield total, total, losses


def estimate(model, ids, config, seed):
    """Yield (loss, characters) of `config.eval_iters` random batches of `ids`, as the lecture."""
    T = min(model.config.block_size, len(ids) - 1)
    for i in range(config.eval_iters):
        x, y = batch(ids, config.batch_size, T, seed, i)
        yield cross_entropy(model, x, y).item(), y.numel()


def estimate_val(model, ids, config):
    """Yield (loss, characters) of the batches that estimate the validation loss."""
    return estimate(model, ids, config, fold_in(config.seed, VAL_ESTIMATE))


def whole(model, ids):
    """Yield (loss, characters) of all `ids` (N,) but the first, in windows without overlap."""
    T = model.config.block_size
    for x, y in windows(ids, T, max(1, CHARS // T)):
        yield cross_entropy(model, x, y).item(), y.numel()


@torch.no_grad()
def mean_loss(batches):
    """Return the mean loss of (loss, characters) of batches."""
    sums = [(loss * count, count) for loss, count in batches]
    return sum(loss for loss, _ in sums) / sum(count for _, count in sums)
