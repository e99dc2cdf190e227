"""Repeated runs give the same bytes."""

import ctypes
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from programs import REPOSITORY

from charlm.rounding import rounding, strict_mode, use_strict_rounding
from charlm.runs.log import read_events

STRICT = 2**16  # the bit of a strict mode in MKL's mode
# the shapes of the preset `fast`, for which runs differed, with few steps and one evaluation batch
FLAGS = "--steps 3 --eval-interval 3 --eval-iters 1 --sample-chars 0"


def mkl_mode():
    """Return the mode that MKL reports."""
    torch.ones(8, 8) @ torch.ones(8, 8)
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    return library.mkl_serv_cbwr_get(-1)


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch has no MKL")
def test_mkl_is_in_the_strict_mode_of_this_processor():
    assert rounding() == strict_mode()
    assert mkl_mode() & STRICT
    assert ("AVX512" in rounding()) == (torch.backends.cpu.get_cpu_capability() == "AVX512")


def test_a_mode_that_is_set_already_stays(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    use_strict_rounding()
    assert rounding() == "COMPATIBLE"


def test_the_mode_is_set_before_torch_is_imported():
    program = (
        "import charlm, os, sys; print(os.environ.get('MKL_CBWR', ''), 'torch' in sys.modules)"
    )
    env = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{strict_mode() or None} False\n"


def test_ten_runs_give_the_same_bytes(here, text_file):
    digests, garbage = set(), []
    for n in range(10):
        garbage.append(torch.empty(1000 * n + 7))  # so that tensors lie elsewhere each time
        status, printed = here("--name", f"run-{n}", "--data", text_file, *FLAGS.split())
        assert status == 0, printed
        directory = here.checkpoints / f"run-{n}"
        digests.add(hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest())
    assert len(digests) == 1
    start = read_events(directory)[0][0]
    assert start["mkl_cbwr"] == rounding()
