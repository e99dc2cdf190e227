"""Making, saving and resuming a run directory."""

import shutil

import pytest
from small_models import damage, describe, make_model, small_training

from charlm.models import checkpoint
from charlm.models.checkpoint import CheckpointError
from charlm.runs.directory import create_run_directory, remove_temporary_files, save_run
from charlm.runs.log import RunLog
from charlm.runs.resume import ResumeState, load_resume_state
from charlm.training.trainer import Trainer


def test_a_new_run_never_replaces_an_old_one(model_directory, tokenizer):
    description, model = describe("today", tokenizer.vocab_size), make_model("today", 11)
    before = (model_directory / checkpoint.WEIGHTS).read_bytes()
    with pytest.raises(FileExistsError):
        create_run_directory(model_directory, description, model, tokenizer)
    assert (model_directory / checkpoint.WEIGHTS).read_bytes() == before
    assert [p.name for p in model_directory.parent.iterdir()] == ["small"]


def test_a_saved_state_is_loaded(model_directory, corpus, tokenizer):
    model = describe("today", tokenizer.vocab_size).build()
    trainer = Trainer(small_training(), model, corpus, tokenizer)
    assert load_resume_state(model_directory) == ResumeState(None, 0, None)
    with RunLog(model_directory) as log:
        for event in trainer.events():
            log.append(event)
            if event.event == "save":
                save_run(model_directory, trainer, log, "some/text.txt")
                size = log.size
    saved = load_resume_state(model_directory)
    assert (saved.state.step, saved.log_size) == (12, size)
    assert saved.data_path == "some/text.txt"
    state = trainer.state()
    assert saved.state.tensors.keys() == state.tensors.keys()
    assert all(saved.state.tensors[name].equal(t) for name, t in state.tensors.items())
    files = sorted(p.name for p in (model_directory / "resume").iterdir())
    assert files == ["state.json", "step-00000012.safetensors"]

    damage(model_directory / "resume", files[1], lambda raw: raw[:100])
    with pytest.raises(CheckpointError, match=r"step-00000012\.safetensors is damaged"):
        load_resume_state(model_directory)
    shutil.rmtree(model_directory / "resume")
    with pytest.raises(CheckpointError, match="no resume/ state, so its training cannot continue"):
        load_resume_state(model_directory)


def test_temporary_files_are_removed(model_directory):
    before = sorted(model_directory.rglob("*"))
    (model_directory / ".model.safetensors.99.tmp").write_bytes(b"half")
    (model_directory / "resume" / ".state.json.99.tmp").write_bytes(b"half")
    remove_temporary_files(model_directory)
    assert sorted(model_directory.rglob("*")) == before
