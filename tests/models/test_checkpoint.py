import json

import pytest
import safetensors.torch
import torch
from small_models import damage, describe, make_model

from charlm.models import checkpoint
from charlm.models.checkpoint import CheckpointError
from charlm.runs.directory import create_run_directory


@pytest.mark.parametrize("name", ["bigram", "lecture", "today"])
def test_a_saved_model_is_loaded_unchanged(tmp_path, tokenizer, name):
    description, model = (
        describe(name, tokenizer.vocab_size),
        make_model(name, tokenizer.vocab_size),
    )
    create_run_directory(tmp_path / "m", description, model, tokenizer)
    loaded, loaded_tokenizer = checkpoint.load(tmp_path / "m")
    assert loaded_tokenizer.chars == tokenizer.chars
    assert loaded.config == model.config
    assert not loaded.training
    a, b = model.state_dict(), loaded.state_dict()
    assert all(a[name].equal(b[name]) for name in a)
    assert checkpoint.load_description(tmp_path / "m") == description


def test_weights_can_be_stored_as_bf16(model_directory):
    model, _ = checkpoint.load(model_directory)
    full = (model_directory / checkpoint.WEIGHTS).stat().st_size
    checkpoint.save_weights(model_directory, model, "bf16")
    assert (model_directory / checkpoint.WEIGHTS).stat().st_size < 0.7 * full
    half, _ = checkpoint.load(model_directory)
    for p, q in zip(model.parameters(), half.parameters(), strict=True):
        assert q.dtype == torch.float32
        assert q.equal(p.bfloat16().float())


def test_loading_leaves_the_random_state_alone(model_directory):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    checkpoint.load(model_directory)
    assert torch.rand(1).equal(expected)


def tensors_with(**changes):
    def change(raw):
        tensors = safetensors.torch.load(raw)
        return safetensors.torch.save(
            {k: v for k, v in (tensors | changes).items() if v is not None}
        )

    return change


def json_with(**changes):
    return lambda raw: json.dumps(json.loads(raw) | changes).encode()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("model.safetensors", lambda raw: raw[: len(raw) // 2], "is damaged or not safetensors"),
        ("model.safetensors", lambda raw: b"", "is damaged or not safetensors"),
        ("model.safetensors", lambda raw: b"\x80\x04pickle" * 99, "is damaged or not safetensors"),
        ("model.safetensors", tensors_with(**{"head.weight": torch.zeros(3, 3)}), "does not fit"),
        ("model.safetensors", tensors_with(**{"head.weight": None}), "does not fit"),
        ("model.safetensors", tensors_with(extra=torch.zeros(1)), "does not fit"),
        (
            "model.safetensors",
            tensors_with(**{"norm_out.weight": torch.full((16,), torch.nan)}),
            "not finite",
        ),
        ("config.json", lambda raw: raw[:-20], "is damaged or not charlm's"),
        ("config.json", lambda raw: b"[]", "is damaged or not charlm's"),
        ("config.json", lambda raw: b"\xff\xfe", "is damaged or not charlm's"),
        ("config.json", json_with(data={}), "is damaged or not charlm's"),
        ("config.json", lambda raw: b"[" * 9999, "is damaged or not charlm's"),
        ("config.json", json_with(kind="llama"), "is damaged or not charlm's"),
        ("config.json", json_with(model={"n_embd": 16, "n_head": 3}), "n_embd is 16"),
        ("config.json", json_with(model={"layers": 2}), "is damaged or not charlm's"),
        ("tokenizer.json", lambda raw: b"{}", "is damaged or not charlm's"),
        (
            "tokenizer.json",
            lambda raw: json.dumps({"model": {"vocab": {"a": 0}}}).encode(),
            "has 1 characters, but config.json says",
        ),
    ],
)
def test_a_damaged_file_is_named(model_directory, file, change, message):
    damage(model_directory, file, change)
    with pytest.raises(CheckpointError, match=f"{file}.*{message}"):
        checkpoint.load(model_directory)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 10748864\n"


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_clone_without_its_large_files_is_explained(model_directory, file):
    damage(model_directory, file, lambda raw: POINTER)
    message = f"{file} is a Git LFS pointer, not the file itself: run `git lfs pull`"
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(model_directory)
    if file != "tokenizer.json":
        count = {"model.safetensors": checkpoint.count_parameters}
        with pytest.raises(CheckpointError, match=message):
            count.get(file, checkpoint.load_description)(model_directory)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(model_directory, file):
    (model_directory / file).unlink()
    with pytest.raises(CheckpointError, match=f"cannot read .*{file}: No such file"):
        checkpoint.load(model_directory)
