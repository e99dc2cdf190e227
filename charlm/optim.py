"""Which optimizer moves which weights, and how fast at which step."""

import math

import torch
from torch.optim import AdamW

# Coefficients of the quintic iteration, Jordan et al. 2024, https://kellerjordan.github.io/posts/muon
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices, iterations=5):
    """The nearest thing to an orthogonal matrix for each of (N, rows, columns), approximately.

    Every singular value ends near 1 (between about 0.7 and 1.2), so that no direction of an update
    is drowned by a few strong ones. Five Newton-Schulz iterations need only matrix products.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized: the optimizer for the matrices inside a network (Jordan 2024).

    `torch.optim.Muon` does the same one matrix at a time and in bfloat16, which a CPU without
    bfloat16 instructions emulates some hundred times slower; this one takes all matrices of a shape
    together, in the precision they have.
    """

    def __init__(self, params, lr, momentum, weight_decay):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                by_shape.setdefault(p.shape, []).append(p)
            for (rows, columns), params in by_shape.items():
                updates = torch.stack([self._nesterov(p, group["momentum"]) for p in params])
                # a tall matrix's orthogonal update is small for its size; make up for it
                lr = group["lr"] * max(1, rows / columns) ** 0.5
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(params, list(orthogonalize(updates).unbind()), alpha=-lr)

    def _nesterov(self, p, momentum):
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        state["momentum_buffer"].lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(state["momentum_buffer"], momentum)


def make_optimizers(model, config):
    """The optimizers that together move every weight of `model`; each group knows its "peak_lr".

    The matrices of the blocks go to Muon where the config asks for it. Embeddings, norms, biases
    and the output layer always go to AdamW, and only matrices are decayed.
    """
    inner = (
        {p for p in model.blocks.parameters() if p.ndim == 2}
        if config.optimizer == "muon"
        else set()
    )
    outer = [p for p in model.parameters() if p not in inner]
    groups = [
        {"params": [p for p in outer if p.ndim == 2], "weight_decay": config.weight_decay},
        {"params": [p for p in outer if p.ndim != 2], "weight_decay": 0.0},
    ]
    betas = (config.beta1, config.beta2)
    optimizers = [AdamW(groups, lr=config.learning_rate, betas=betas, fused=True)]
    if inner:
        matrices = [p for p in model.parameters() if p in inner]  # in the model's own order
        lr, momentum = config.muon_learning_rate, config.muon_momentum
        optimizers.append(Muon(matrices, lr, momentum, config.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def lr_scale(step, config):
    """The learning rate at `step` as a share of its peak: linear warm-up, plateau, decay to 0."""
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    remaining = (config.steps - step) / (config.steps * config.decay_fraction)
    if config.decay == "constant" or remaining >= 1:
        return warmup
    if config.decay == "cosine":
        return warmup * (1 - math.cos(math.pi * remaining)) / 2
    return warmup * remaining
