import json
import shutil

import pytest
import safetensors.torch
import torch
from small_models import describe, make_model, small_training

from charlm.models import checkpoint
from charlm.models.checkpoint import CheckpointError
from charlm.runs import resume
from charlm.runs.log import RunLog
from charlm.training.trainer import Trainer


@pytest.mark.parametrize("name", ["bigram", "lecture", "today"])
def test_a_saved_model_loads_as_it_was(tmp_path, tokenizer, name):
    description, model = (
        describe(name, tokenizer.vocab_size),
        make_model(name, tokenizer.vocab_size),
    )
    resume.create(tmp_path / "m", description, model, tokenizer)
    loaded, loaded_tokenizer = checkpoint.load(tmp_path / "m")
    assert loaded_tokenizer.chars == tokenizer.chars
    assert loaded.config == model.config
    assert not loaded.training
    a, b = model.state_dict(), loaded.state_dict()
    assert all(a[name].equal(b[name]) for name in a)
    assert checkpoint.load_description(tmp_path / "m") == description


def test_weights_can_be_stored_in_half_the_space(model_directory):
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


def damage(directory, file, change):
    path = directory / file
    path.write_bytes(change(path.read_bytes()))


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
def test_a_damaged_directory_is_refused_by_name(model_directory, file, change, message):
    damage(model_directory, file, change)
    with pytest.raises(CheckpointError, match=f"{file}.*{message}"):
        checkpoint.load(model_directory)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(model_directory, file):
    (model_directory / file).unlink()
    with pytest.raises(CheckpointError, match=f"cannot read .*{file}: No such file"):
        checkpoint.load(model_directory)


def test_a_new_run_never_replaces_an_old_one(model_directory, tokenizer):
    description, model = describe("today", tokenizer.vocab_size), make_model("today", 11)
    before = (model_directory / checkpoint.WEIGHTS).read_bytes()
    with pytest.raises(FileExistsError):
        resume.create(model_directory, description, model, tokenizer)
    assert (model_directory / checkpoint.WEIGHTS).read_bytes() == before
    assert [p.name for p in model_directory.parent.iterdir()] == ["small"]


def test_progress_is_saved_and_loaded(model_directory, corpus, tokenizer):
    model = describe("today", tokenizer.vocab_size).build()
    trainer = Trainer(small_training(), model, corpus, tokenizer)
    assert resume.load_progress(model_directory) == resume.Progress(None, 0, None)
    with RunLog(model_directory) as log:
        for event in trainer.events():
            log.append(event)
            if event.event == "save":
                resume.save_progress(model_directory, trainer, log, "some/text.txt")
                size = log.size
    progress = resume.load_progress(model_directory)
    assert (progress.state.step, progress.log_size) == (12, size)
    assert progress.data_path == "some/text.txt"
    state = trainer.state()
    assert progress.state.tensors.keys() == state.tensors.keys()
    assert all(progress.state.tensors[name].equal(t) for name, t in state.tensors.items())
    files = sorted(p.name for p in (model_directory / "resume").iterdir())
    assert files == ["state.json", "step-00000012.safetensors"]

    damage(model_directory / "resume", files[1], lambda raw: raw[:100])
    with pytest.raises(CheckpointError, match=r"step-00000012\.safetensors is damaged"):
        resume.load_progress(model_directory)
    shutil.rmtree(model_directory / "resume")
    with pytest.raises(CheckpointError, match="no resume/ state, so its training cannot go on"):
        resume.load_progress(model_directory)


def test_what_a_killed_process_left_is_swept_away(model_directory):
    before = sorted(model_directory.rglob("*"))
    (model_directory / ".model.safetensors.99.tmp").write_bytes(b"half")
    (model_directory / "resume" / ".state.json.99.tmp").write_bytes(b"half")
    resume.sweep(model_directory)
    assert sorted(model_directory.rglob("*")) == before
