"""Learning from teachers: a student learns their probabilities, on texts that they wrote, too.

All the probabilities of a teacher say more than the one character that came next (Hinton et al.
2015). Teachers know the training text almost by heart, so the student reads text that they wrote,
too.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from charlm.data.batches import batch, windows
from charlm.models.checkpoint import Distillation
from charlm.rng import WRITTEN, fold_in
from charlm.training.evaluation import CHARS, mean_loss

PART = 1024  # characters that a teacher reads at a time: what it computes stays in the caches


@dataclass
class Teachers:
    """Models with the student's vocabulary, in evaluation mode, and what they contribute."""

    models: list
    distillation: Distillation  # their description
    written_ids: torch.Tensor | None = None  # (N,) int64, the text that they wrote, once it exists
    val_loss: float | None = None  # of their mean, see `loss`, once it is measured

    @property
    def config(self):
        """The DistillConfig."""
        return self.distillation.config

    @torch.no_grad()
    def probabilities(self, x):
        """Return the mean of their probabilities of the next character: (B, T) to (B, T, V)."""
        x = x.to(next(self.models[0].parameters()).device)
        parts = x.split(max(1, PART // x.size(1)))
        return torch.cat([self._mean_probabilities(part) for part in parts])

    def _mean_probabilities(self, x):
        return sum(model(x).softmax(dim=-1) for model in self.models) / len(self.models)

    def loss(self, ids, block_size):
        """Return the loss of the mean of their probabilities, in nats per character of `ids`."""
        return mean_loss(self._losses(ids, block_size))

    def _losses(self, ids, T):
        for x, y in windows(ids, T, max(1, CHARS // T)):
            likelihoods = self.probabilities(x).cpu().gather(-1, y.unsqueeze(-1))
            yield -likelihoods.log().mean().item(), y.numel()

    def batch(self, train_ids, block_size, config, step):
        """Return a step's windows x and the same one character later, y, and which are written.

        (B, T), (B, T) and (B,). The last rows are windows of the written text. `config`: the
        TrainConfig.
        """
        B, T = config.batch_size, block_size
        n = round(self.config.written_share * B)
        seeds = config.seed, fold_in(config.seed, WRITTEN)
        parts = zip((train_ids, self.written_ids), (B - n, n), seeds, strict=True)
        pairs = [batch(ids, rows, T, s, step, config.order) for ids, rows, s in parts if rows]
        x, y = map(torch.cat, zip(*pairs, strict=True))
        return x, y, torch.arange(B) >= B - n

    def targets(self, x, y, written):
        """Return the probabilities (B, T, V) that the student shall learn.

        On written text they are the teachers'. On the training text the character that came next
        has the share 1 - teacher_weight.
        """
        soft = self.probabilities(x)
        weight = torch.where(written, 1.0, self.config.teacher_weight).view(-1, 1, 1)
        weight, y = weight.to(soft.device), y.to(soft.device)
        return weight * soft + (1 - weight) * F.one_hot(y, soft.size(-1))
