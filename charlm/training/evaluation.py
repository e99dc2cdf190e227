"""The loss of a model on a split, in nats per character."""

import torch
import torch.nn.functional as F

from charlm.data.batches import batch, windows
from charlm.rng import TRAIN_ESTIMATE, VAL_ESTIMATE, fold_in

CHARS = 8192  # characters in a batch of the full loss, about


def cross_entropy(model, x, y, seeds=None):
    """Return the mean loss of predicting y from x, both (B, T) int64; `seeds` (B,) for dropout."""
    device = next(model.parameters()).device
    logits = model(x.to(device), seeds=seeds)  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1), y.to(device).flatten())


@torch.no_grad()
def evaluate(model, train_ids, val_ids, config):
    """Return the losses of an Eval event, by name. `config`: a TrainConfig.

    Every evaluation of a run uses the same random batches; their seeds differ from training's.
    """
    return {
        "train_loss": estimate_loss(model, train_ids, config, fold_in(config.seed, TRAIN_ESTIMATE)),
        "val_loss": full_loss(model, val_ids),
        "val_estimate": estimate_loss(model, val_ids, config, fold_in(config.seed, VAL_ESTIMATE)),
    }


@torch.no_grad()
def estimate_loss(model, ids, config, seed):
    """Return the lecture's estimate, the mean over `config.eval_iters` random batches of `ids`."""
    n, T = config.eval_iters, min(model.config.block_size, len(ids) - 1)
    batches = (batch(ids, config.batch_size, T, seed, i) for i in range(n))
    return sum(cross_entropy(model, x, y).item() for x, y in batches) / n


@torch.no_grad()
def full_loss(model, ids):
    """Return the mean loss over all `ids` (N,) but the first, in windows without overlap."""
    T, total = model.config.block_size, 0.0
    for x, y in windows(ids, T, max(1, CHARS // T)):
        total += cross_entropy(model, x, y).item() * y.numel()
    return total / (len(ids) - 1)
