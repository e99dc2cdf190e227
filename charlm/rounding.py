"""Make matrix products round the same way in every run.

MKL, which multiplies for torch on x86, may choose its code anew in each run unless MKL_CBWR names a
mode (Intel oneMKL Developer Guide, "Obtaining Numerically Reproducible Results"). Without one,
about one run in ten ended with different weights. A product must also round a row alike wherever
the row is in a batch and in memory. With AVX2, only the strict mode does; with AVX-512 on Intel's
processors, the ordinary mode does, too, and is faster where there are few rows
(checkpoints/README.md, 2026-11-29). On an AMD EPYC without AVX-512, MKL ignores the name of the
mode; there, products of four rows and more round a row alike: see generation/batch_invariance.py.
"""

import os
import platform
from pathlib import Path


def use_reproducible_rounding():
    """Set MKL_CBWR to the processor's mode, unless it is set already.

    MKL reads the variable at its first product, so call this before torch is imported.
    """
    if mode := reproducible_mode():
        os.environ.setdefault("MKL_CBWR", mode)


def reproducible_mode():
    """Return the mode for this processor's widest instructions; "" if torch has no MKL."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ""
    try:
        facts = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux: assume AVX2, which all but the oldest x86 processors have
        facts = {"avx2"}
    if "avx512f" in facts:
        return "AVX512" if "GenuineIntel" in facts else "AVX512,STRICT"
    return "AVX2,STRICT" if "avx2" in facts else ""


def rounding():
    """Return the MKL_CBWR of this process; "" if it is unset."""
    return os.environ.get("MKL_CBWR", "")
