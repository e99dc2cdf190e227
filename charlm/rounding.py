"""Make matrix products round the same way in every run, wherever their operands lie in memory.

MKL, which multiplies for torch on x86, chooses its code by the alignment of its operands unless
MKL_CBWR names a strict mode of the processor (Intel oneMKL Developer Guide, "Obtaining Numerically
Reproducible Results"). Without one, about one run in ten ended in other weights than the rest.
"""

import os
import platform
from pathlib import Path


def use_strict_rounding():
    """Set MKL_CBWR to the processor's strict mode, unless it is set already.

    MKL reads the variable at its first product, so call this before torch is imported.
    """
    if mode := strict_mode():
        os.environ.setdefault("MKL_CBWR", mode)


def strict_mode():
    """The strict mode of this processor's widest instructions; "" where torch has no MKL."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux: AVX2 is what every x86 processor has that torch is fast on
        flags = {"avx2"}
    if "avx512f" in flags:
        return "AVX512,STRICT"
    return "AVX2,STRICT" if "avx2" in flags else ""


def rounding():
    """The value of MKL_CBWR that this process computes with; "" if there is none."""
    return os.environ.get("MKL_CBWR", "")
