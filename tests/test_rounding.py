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
from torch.nn.functional import scaled_dot_product_attention as attention

from charlm.generation.batch_invariance import SIZES, products_are_batch_invariant
from charlm.rounding import reproducible_mode, rounding, use_reproducible_rounding
from charlm.runs.log import read_events

AUTO, STRICT = 2, 2**16  # MKL's number for a mode of its own choice; the bit of a strict mode
# the shapes of the preset `fast`, for which runs differed, with few steps and one evaluation batch
FLAGS = "--steps 3 --eval-interval 3 --eval-iters 1 --sample-chars 0"


def mkl_mode():
    """Return the mode that MKL reports."""
    torch.ones(8, 8) @ torch.ones(8, 8)
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    return library.mkl_serv_cbwr_get(-1)


needs_mkl = pytest.mark.skipif(
    not torch.backends.mkl.is_available(), reason="this torch has no MKL"
)


@needs_mkl
def test_mkl_is_in_the_reproducible_mode_of_this_processor():
    assert rounding() == reproducible_mode()
    mode = mkl_mode()
    assert mode > AUTO
    assert bool(mode & STRICT) == rounding().endswith(",STRICT")
    assert ("AVX512" in rounding()) == (torch.backends.cpu.get_cpu_capability() == "AVX512")


@needs_mkl
@pytest.mark.parametrize("n_in, n_out", [(192, 768), (768, 192), (20, 60), (65, 195)])
def test_a_row_of_a_product_rounds_alike_anywhere_in_a_batch_and_in_memory(n_in, n_out):
    x, weight = torch.randn(64, n_in), torch.randn(n_in, n_out)
    product = x @ weight
    assert products_are_batch_invariant(n_in, n_out)
    for first in range(56):
        for rows in SIZES[:2]:
            expected = product[first : first + rows]
            assert torch.equal(x[first : first + rows] @ weight, expected)
            assert torch.equal(moved(x[first : first + rows], first % 16) @ weight, expected)


@needs_mkl
@pytest.mark.parametrize("D", [8, 20, 64, 65])
def test_attention_rounds_alike_anywhere_in_memory(D):
    q, k, v = torch.randn(1, 3, 1, D), torch.randn(1, 3, 96, D), torch.randn(1, 3, 96, D)
    expected = attention(q, k, v)
    for n in (1, 2, 4, 8, 12):
        assert torch.equal(attention(moved(q, n), moved(k, 16 - n), moved(v, n)), expected)


def moved(x, numbers):
    """Return a copy of x that begins so many numbers after an aligned address."""
    memory = torch.empty(x.numel() + numbers)
    return memory[numbers:].view(x.shape).copy_(x)


def test_a_mode_that_is_set_already_stays(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    use_reproducible_rounding()
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
    assert done.stdout == f"{reproducible_mode() or None} False\n"


@pytest.mark.slow
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
