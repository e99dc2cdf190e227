"""Make matrix products round the same way in every run, wherever their operands lie in memory.

MKL, which multiplies for torch on x86, chooses its code by the alignment of its operands unless
MKL_CBWR names a strict mode of the processor (Intel oneMKL Developer Guide, "Obtaining Numerically
Reproducible Results"). Without one, about one run in ten ended with different weights.
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
    """Return the strict mode of this processor's widest instructions; "" if torch has no MKL."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux: assume AVX2, which all but the oldest x86 processors have
        flags = {"avx2"}
    if "avx512f" in flags:
        return "AVX512,STRICT"
    return "AVX2,STRICT" if "avx2" in flags else ""


def rounding():
    """Return the MKL_CBWR of this process; "" if it is unset."""
    return os.environ.get("MKL_CBWR", "")
