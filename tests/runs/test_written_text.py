"""The text that teachers write: a function of its options, made once and kept."""

from types import SimpleNamespace

import pytest
import torch
from small_models import make_model

from charlm.config import DistillConfig, SampleConfig
from charlm.generation.batch import decode
from charlm.models.checkpoint import Distillation
from charlm.rng import fold_in
from charlm.runs import written_text
from charlm.runs.written_text import FILE, prepare_teachers
from charlm.training.distillation import Teachers

LENGTH = 40  # of a text


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    monkeypatch.setattr(written_text, "TEXT_CHARS", LENGTH)
    monkeypatch.setattr(written_text, "STREAMS", 7)


@pytest.fixture
def make_run(tokenizer, tmp_path):
    def make(**options):
        models = [make_model(name, tokenizer.vocab_size) for name in ("lecture", "today")]
        config = DistillConfig(**{"written_chars": 1030} | options)
        teachers = Teachers(models, Distillation(config, ()))
        val_ids = torch.arange(100) % tokenizer.vocab_size
        trainer = SimpleNamespace(step=0, elapsed=1.0, stop_requested=False, val_ids=val_ids)
        trainer.teachers, trainer.model = teachers, models[1]
        setup = SimpleNamespace(tokenizer=tokenizer)
        return SimpleNamespace(directory=tmp_path, trainer=trainer, setup=setup, logged_start=None)

    return make


def written(run):
    *_, last = prepare_teachers(run)
    assert (last.done, last.total) == (1030, 1030)
    return (run.directory / FILE).read_text()


def test_teachers_take_turns_and_each_text_is_the_one_that_decode_writes(make_run, tokenizer):
    run = make_run(written_temperature=0.7, written_seed=5)
    text, texts = written(run), []
    for i in range(26):
        model, seed = run.trainer.teachers.models[i % 2], fold_in(5, i)
        start = tokenizer.encode(tokenizer.start_char)
        ids = decode(model, start, SampleConfig(LENGTH - 1, 0.7, seed=seed))
        texts.append(tokenizer.decode([*start, *ids]))
    assert text == "".join(texts)[:1030]
    assert tokenizer.decode(run.trainer.teachers.written_ids.tolist()) == text


def test_the_text_follows_from_its_seed(make_run):
    text = written(make_run())
    (make_run().directory / FILE).unlink()
    assert written(make_run()) == text
    (make_run().directory / FILE).unlink()
    assert written(make_run(written_seed=1)) != text


def test_a_whole_text_is_kept_and_its_loss_that_was_logged(make_run):
    text, run = written(make_run()), make_run()
    run.logged_start = {"baselines": {"teachers": 1.25}}
    assert list(prepare_teachers(run)) == []
    assert (run.directory / FILE).read_text() == text
    assert len(run.trainer.teachers.written_ids) == 1030
    assert run.trainer.teachers.val_loss == 1.25


def test_a_text_of_another_length_is_written_again(make_run):
    text = written(make_run())
    for damaged in (text[:-1].encode(), b"\xff" * len(text)):
        (make_run().directory / FILE).write_bytes(damaged)
        assert written(make_run()) == text


def test_a_request_to_stop_ends_it_and_leaves_no_part(make_run):
    run = make_run()
    for _ in prepare_teachers(run):
        run.trainer.stop_requested = True
    assert not (run.directory / FILE).exists()
    assert run.trainer.teachers.written_ids is None
