import pytest
import torch
from small_models import damage, make_model

import charlm
from charlm.errors import CharlmError
from charlm.models import checkpoint
from charlm.models.snapshots import (
    remove_snapshots,
    save_snapshot,
    snapshot_steps,
    split_step,
    step_of_file,
)


@pytest.fixture
def run(model_directory, tokenizer):
    """A model directory with the snapshots of four steps, each with other weights."""
    for step in (0, 3, 20, 100):
        model = make_model("today", tokenizer.vocab_size)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(step / 100)
        save_snapshot(model_directory, model, step)
    return model_directory


def test_snapshots_are_listed_in_order(run, tmp_path):
    assert snapshot_steps(run) == (0, 3, 20, 100)
    for name in ("x.safetensors", "007.safetensors", "-1.safetensors", ".5.safetensors", "4.bin"):
        (run / "snapshots" / name).write_bytes(b"")
    assert snapshot_steps(run) == (0, 3, 20, 100)
    assert snapshot_steps(tmp_path / "none") == ()


def test_a_snapshot_is_loaded_like_a_model(run, tokenizer):
    final, _ = checkpoint.load(run)
    early, known = charlm.load(f"{run}#3")
    assert known.chars == tokenizer.chars
    assert not early.training
    for p, q in zip(final.parameters(), early.parameters(), strict=True):
        assert p.dtype == q.dtype == torch.float32
        assert torch.equal((p + 0.03).bfloat16().float(), q)


def test_a_name_that_is_a_directory_names_no_step(run):
    named = run.rename(run.with_name("small#3"))
    whole, _ = charlm.load(named)
    final, _ = checkpoint.load(named)
    assert torch.equal(next(whole.parameters()), next(final.parameters()))
    charlm.load(f"{named}#20")


def test_a_missing_step_is_named_with_those_there_are(run):
    with pytest.raises(CharlmError, match="no snapshot of step 7; it has: 0, 3, 20, 100"):
        charlm.load(f"{run}#7")
    remove_snapshots(run, after=-1)
    with pytest.raises(CharlmError, match="no snapshot of step 3; it has none"):
        charlm.load(f"{run}#3")
    with pytest.raises(CharlmError, match="which has no revision main"):
        charlm.load(f"{run}#3", revision="main")


def test_later_snapshots_are_removed(run):
    remove_snapshots(run, after=20)
    assert snapshot_steps(run) == (0, 3, 20)


def test_a_damaged_snapshot_is_refused(run):
    damage(run, "snapshots/3.safetensors", lambda raw: raw[:-10])
    with pytest.raises(CharlmError, match=r"snapshots/3.safetensors is damaged or not safetensors"):
        charlm.load(f"{run}#3")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("fast#0", ("fast", 0)),
        ("fast#540", ("fast", 540)),
        ("ann/fast@v1#12", ("ann/fast@v1", 12)),
        ("a#b#3", ("a#b", 3)),
        ("fast", ("fast", None)),
        *(
            (name, (name, None))
            for name in ("", "#", "#5", "fast#", "fast#07", "fast#-1", "fast#x")
        ),
        *(
            (name, (name, None))
            for name in ("fast#1.0", "fast# 1", "fast#1e3", "fast#٣", "f#" + "9" * 11)
        ),
    ],
)
def test_names_of_snapshots(name, parts):
    assert split_step(name) == parts


def test_only_plain_files_of_the_folder_are_snapshots():
    assert step_of_file("snapshots/12.safetensors") == 12
    others = ("12.safetensors", "snapshots/../12.safetensors", "snapshots/a/12.safetensors")
    for other in (*others, "snapshots/12.safetensors\n", "snapshots/012.safetensors"):
        assert step_of_file(other) is None
