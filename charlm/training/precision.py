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
        able = getattr(torch.cpu, "get_capabilities", dict)()
        return "bf16" if multiplies_bf16_faster(able) else "fp32"
    return "fp32"


def multiplies_bf16_faster(able):
    """Return whether a processor multiplies bf16 faster than fp32, from its capabilities.

    `able`: torch.cpu.get_capabilities(). AMX does, and AVX-512 BF16 on AMD. Intel's AVX-512 BF16
    alone, where a virtual machine hides AMX, takes twice as long as fp32 (checkpoints/README.md,
    2026-11-29). Other processors emulate bf16, several times slower than fp32.
    """
    intel = str(able.get("cpu_name", "")).startswith("Intel")
    return bool(able.get("amx_bf16") or (able.get("avx512_bf16") and not intel))


def autocast(precision, device):
    """Return a context in which matrix products are computed in `precision`."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
