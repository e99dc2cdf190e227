"""The precision of the matrix products of training."""

import contextlib
import os

import torch

from charlm.config import require

CHOICES = ("auto", "fp32", "bf16")


def choose_precision(wanted, device):
    """Return "fp32" or "bf16": `wanted`, or for "auto" the fastest on this hardware.

    CHARLM_PRECISION=fp32 or bf16 decides what "auto" means. Raises ConfigError if it is neither.
    """
    if wanted == "auto":
        wanted = os.environ.get("CHARLM_PRECISION", "").strip() or "auto"
        require(wanted in CHOICES, "CHARLM_PRECISION", wanted, f"one of {', '.join(CHOICES)}")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if device.type == "cpu":
        # a CPU without instructions for bf16 emulates it, several times slower than fp32
        able = getattr(torch.cpu, "get_capabilities", dict)()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
    return "fp32"


def autocast(precision, device):
    """Return a context in which matrix products are computed in `precision`."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
