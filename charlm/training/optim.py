"""Which optimizer moves which weights, and how fast at which step."""

import math

import torch
from torch.optim.adamw import adamw

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


class Optimizer:
    """Weights in groups, each with its options, and tensors to remember for each weight.

    torch.optim.Optimizer is that and more, and imports torch._dynamo, compiled or not: 1.5 s at the
    start of every run.
    """

    def __init__(self, groups):
        self.param_groups = groups
        self.state = {p: self.blank(p) for group in groups for p in group["params"]}

    def step(self):
        """Move all weights along their gradients."""
        with torch.no_grad():
            for group in self.param_groups:
                self.move(group)

    def zero_grad(self):
        for p in self.state:
            p.grad = None


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), by torch's own kernel."""

    def __init__(self, groups, betas):
        super().__init__(groups)
        self.betas = betas

    def blank(self, p):
        step = torch.zeros((), device=p.device)
        zeros = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
        return {"step": step} | zeros

    def move(self, group):
        params = group["params"]
        states = [self.state[p] for p in params]
        adamw(
            params,
            [p.grad for p in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],  # of AMSGrad
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


class Muon(Optimizer):
    """Momentum, orthogonalized: the optimizer for the matrices inside a network (Jordan 2024).

    `torch.optim.Muon` does the same one matrix at a time and in bfloat16, which a CPU without
    bfloat16 instructions emulates some hundred times slower; this one takes all matrices of a shape
    together, in the precision they have.
    """

    def __init__(self, groups, momentum):
        super().__init__(groups)
        self.momentum = momentum

    def blank(self, p):
        return {"momentum_buffer": torch.zeros_like(p)}

    def move(self, group):
        by_shape = {}
        for p in group["params"]:
            by_shape.setdefault(p.shape, []).append(p)
        for (rows, columns), params in by_shape.items():
            updates = torch.stack([self._nesterov(p) for p in params])
            # a tall matrix's orthogonal update is small for its size; make up for it
            lr = group["lr"] * max(1, rows / columns) ** 0.5
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(params, list(orthogonalize(updates).unbind()), alpha=-lr)

    def _nesterov(self, p):
        buffer = self.state[p]["momentum_buffer"]
        buffer.lerp_(p.grad, 1 - self.momentum)
        return p.grad.lerp(buffer, self.momentum)


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
    decayed, free = config.weight_decay, 0.0
    groups = [
        make_group([p for p in outer if p.ndim == 2], config.learning_rate, decayed),
        make_group([p for p in outer if p.ndim != 2], config.learning_rate, free),
    ]
    optimizers = [AdamW(groups, (config.beta1, config.beta2))]
    if inner:
        matrices = [p for p in model.parameters() if p in inner]  # in the model's own order
        group = make_group(matrices, config.muon_learning_rate, decayed)
        optimizers.append(Muon([group], config.muon_momentum))
    return optimizers


def make_group(params, lr, weight_decay):
    return {"params": params, "lr": lr, "peak_lr": lr, "weight_decay": weight_decay}


def lr_scale(step, config):
    """The learning rate at `step` as a share of its peak: linear warm-up, plateau, decay to 0."""
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    remaining = (config.steps - step) / (config.steps * config.decay_fraction)
    if config.decay == "constant" or remaining >= 1:
        return warmup
    if config.decay == "cosine":
        return warmup * (1 - math.cos(math.pi * remaining)) / 2
    return warmup * remaining
