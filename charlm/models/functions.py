"""RMSNorm, ReLU squared and a short convolution, each with its gradient written out.

Torch derives a gradient operation by operation, and each one reads and writes a whole tensor. On a
CPU these tensors, not the arithmetic, take the time. Written out, a gradient takes fewer operations
and stores less (checkpoints/README.md, 2026-11-29). torch.compile gets the plain formulas, from
which it makes one operation of many by itself.
"""

import torch
import torch.nn.functional as F
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.compiler import is_compiling


def rms_norm(x, weight, eps):
    """Divide x (..., C) by its root mean square, plus eps, and scale it by weight (C,)."""
    if is_compiling():
        return F.rms_norm(x, weight.shape, weight, eps)
    return RMSNorm.apply(x, weight, eps)


def relu2(x):
    """Square what is positive in x and zero the rest."""
    return F.relu(x) * x if is_compiling() else ReLU2.apply(x)


def short_conv(x, kernel):
    """Convolve each channel of x (B, T, C) with its own filter, over the last characters.

    `kernel` (C, 1, S): row t of the result sums x[t - S + 1 + i] * kernel[i], with zeros before the
    first character.
    """
    if is_compiling():
        T, S = x.size(1), kernel.size(-1)
        padded = F.pad(x, (0, 0, S - 1, 0))
        return sum(padded[:, i : i + T] * kernel[:, 0, i] for i in range(S))
    return ShortConvolution.apply(x, kernel)


class RMSNorm(Function):
    @staticmethod
    def forward(ctx, x, weight, eps):
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square() / x.size(-1)
        scale = (mean_square + eps).rsqrt()  # (..., 1)
        normed = x * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        normed, scale, weight = ctx.saved_tensors
        product = grad * normed
        # the norm fixes the length of x, so nothing flows back along x
        along = (product @ weight).div_(weight.numel()).unsqueeze(-1)
        grad_x = (grad * weight).addcmul_(normed, along, value=-1).mul_(scale)
        return grad_x, product.flatten(0, -2).sum(0), None


class ReLU2(Function):
    @staticmethod
    def forward(ctx, x):
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (positive,) = ctx.saved_tensors
        return torch.addcmul(grad.new_zeros(()), grad, positive, value=2)  # in one pass


class ShortConvolution(Function):
    @staticmethod
    def forward(ctx, x, kernel):
        T, filters = x.size(1), kernel[:, 0].T.contiguous()  # (S, C)
        padded = F.pad(x, (0, 0, len(filters) - 1, 0))
        out = padded[:, :T] * filters[0]
        for i in range(1, len(filters)):
            out.addcmul_(padded[:, i : i + T], filters[i])
        ctx.save_for_backward(padded, filters)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        padded, filters = ctx.saved_tensors
        T, S = grad.size(1), len(filters)
        grad_x = grad * filters[-1]
        for back in range(1, min(S, T)):  # the filter's place for the character `back` before
            grad_x[:, : T - back].addcmul_(grad[:, back:], filters[S - 1 - back])
        products = [(grad * padded[:, i : i + T]).flatten(0, 1).sum(0) for i in range(S)]
        return grad_x, torch.stack(products, dim=-1).unsqueeze(1)
