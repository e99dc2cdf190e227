"""AdamW and Muon, which of them updates which weights, and the learning-rate schedule."""

import math

import torch
from torch.optim.adamw import adamw

# Coefficients of the quintic iteration, Jordan et al. 2024, https://kellerjordan.github.io/posts/muon
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices, iterations=5):
    """Return the nearest orthogonal matrix to each of (N, rows, columns), approximately.

    All singular values end near 1 (between about 0.7 and 1.2), so that a few strong directions do
    not drown the others. The Newton-Schulz iterations need nothing but matrix products: each one
    multiplies a matrix x by a polynomial of its Gram matrix, x x^T or x^T x.
    """
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    _, rows, columns = x.shape
    if rows == columns:
        for _ in range(iterations):
            x = newton_schulz_factor(x @ x.mT) @ x
        return x
    # the Gram matrix of the shorter side is smaller: iterate on that, and multiply x once
    gram = x @ x.mT if rows < columns else x.mT @ x
    product = factor = newton_schulz_factor(gram)
    for _ in range(iterations - 1):
        gram = factor @ gram @ factor
        factor = newton_schulz_factor(gram)
        product = factor @ product
    return product @ x if rows < columns else x @ product


def newton_schulz_factor(gram):
    """Return a + b G + c G^2 for Gram matrices G (N, rows, rows)."""
    a, b, c = NEWTON_SCHULZ
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor


class Optimizer:
    """Weights in groups, each with its options, and state tensors for each weight.

    This is the part of torch.optim.Optimizer that a run needs. The original imports torch._dynamo,
    which adds 1.5 s to the start of every run, compiled or not.
    """

    def __init__(self, groups):
        self.param_groups = groups
        self.state = {p: self.initial_state(p) for group in groups for p in group["params"]}

    def step(self):
        """Update all weights from their gradients."""
        with torch.no_grad():
            for group in self.param_groups:
                self.update(group)

    def zero_grad(self):
        for p in self.state:
            p.grad = None


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), in torch's fused kernel."""

    def __init__(self, groups, betas):
        super().__init__(groups)
        self.betas = betas

    def initial_state(self, p):
        step = torch.zeros((), device=p.device)
        zeros = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
        return {"step": step} | zeros

    def update(self, group):
        params = group["params"]
        states = [self.state[p] for p in params]
        adamw(
            params,
            [p.grad for p in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],  # no AMSGrad
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
    """Orthogonalized momentum: the optimizer for the matrices inside a network (Jordan 2024).

    `beta2`: the decay of the mean square of each row's updates (each column's of a wide matrix), by
    the root of which they are divided, so that all learn equally fast (NorMuon, Li et al. 2025); 0
    does not divide.

    `torch.optim.Muon` takes one matrix at a time, in bfloat16, which a CPU without bfloat16
    instructions emulates about a hundred times slower. This one takes all matrices of a shape
    together, in their own precision.
    """

    def __init__(self, groups, momentum, beta2=0.0):
        self.momentum, self.beta2 = momentum, beta2
        super().__init__(groups)

    def initial_state(self, p):
        state = {"momentum_buffer": torch.zeros_like(p)}
        if self.beta2:
            state["mean_square"] = p.new_zeros(p[:1].shape if is_wide(p) else p[:, :1].shape)
        return state

    def update(self, group):
        by_shape = {}
        for p in group["params"]:
            by_shape.setdefault(p.shape, []).append(p)
        for (rows, columns), params in by_shape.items():
            updates = orthogonalize(torch.stack([self._nesterov(p) for p in params]))
            if self.beta2:
                updates = self._equalised(params, updates)
            # an orthogonal update of a tall matrix is small for its size: scale it up
            lr = group["lr"] * max(1, rows / columns) ** 0.5
            if group["weight_decay"]:
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(params, list(updates.unbind()), alpha=-lr)

    def _nesterov(self, p):
        buffer = self.state[p]["momentum_buffer"]
        buffer.lerp_(p.grad, 1 - self.momentum)
        return p.grad.lerp(buffer, self.momentum)

    def _equalised(self, params, updates):
        """Return updates (N, rows, columns) of equal rows or columns, each of the same norm."""
        dim = 1 if is_wide(params[0]) else 2
        squares = updates.norm(dim=dim, keepdim=True).square() / updates.size(dim)
        means = [self.state[p]["mean_square"] for p in params]
        torch._foreach_lerp_(means, list(squares.unbind()), 1 - self.beta2)
        inverse = 1 / torch.stack(means).clamp(min=1e-20)
        total, new_total = (x.sum(dim=(1, 2), keepdim=True) for x in (squares, squares * inverse))
        return updates * (inverse * total / new_total.clamp(min=1e-14)).sqrt()


def is_wide(matrix):
    return matrix.size(0) < matrix.size(1)


def make_optimizers(model, config):
    """Return the optimizers that together update every weight of `model`.

    Muon takes the matrices of the blocks if the config asks for it. AdamW takes the rest:
    embeddings, norms, biases and the output layer. Only matrices decay.
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
        optimizers.append(Muon([group], config.muon_momentum, config.muon_beta2))
    return optimizers


def make_group(params, lr, weight_decay):
    return {"params": params, "lr": lr, "peak_lr": lr, "weight_decay": weight_decay}


def set_learning_rates(optimizers, step, config):
    """Set each group's learning rate for `step`; return that of AdamW."""
    scale = lr_scale(step, config)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * scale
    return config.learning_rate * scale


def lr_scale(step, config):
    """Return the learning rate at `step` over its peak: linear warm-up, plateau, decay to 0."""
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    remaining = (config.steps - step) / (config.steps * config.decay_fraction)
    if config.decay == "constant" or remaining >= 1:
        return warmup
    if config.decay == "cosine":
        return warmup * (1 - math.cos(math.pi * remaining)) / 2
    return warmup * remaining


@torch.no_grad()
def update_average(average, model, step, decay):
    """Move `average`, a list of tensors, towards the weights of `model` after a step.

    The decay grows with the steps, so that the average soon forgets the random start.
    """
    decay = min(decay, (step + 1) / (step + 10))
    torch._foreach_lerp_(average, list(model.parameters()), 1 - decay)
