"""Each function and its gradient beside torch's own, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from charlm.models.functions import relu2, rms_norm, short_conv


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def test_rms_norm():
    x, weight = numbers(2, 3, 5), numbers(5, seed=1)
    torch.testing.assert_close(rms_norm(x, weight, 1e-6), F.rms_norm(x, (5,), weight, 1e-6))
    assert gradcheck(lambda x, w: rms_norm(x, w, 1e-6), (x, weight))


def test_rms_norm_of_zeros_is_zero():
    x = torch.zeros(2, 5, requires_grad=True)
    rms_norm(x, torch.ones(5), 1e-6).sum().backward()
    assert x.grad.isfinite().all()


def test_relu2():
    x = numbers(4, 7)
    torch.testing.assert_close(relu2(x), x.clamp(min=0) ** 2)
    assert gradcheck(relu2, (x,))


@pytest.mark.parametrize("T", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("S", [1, 2, 4])
def test_short_conv(T, S):
    x, kernel = numbers(2, T, 3), numbers(3, 1, S, seed=1)
    padded = F.pad(x.mT, (S - 1, 0))
    torch.testing.assert_close(short_conv(x, kernel), F.conv1d(padded, kernel, groups=3).mT)
    assert gradcheck(short_conv, (x, kernel))
