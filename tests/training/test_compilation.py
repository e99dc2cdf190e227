"""torch.compile in training. The tests share shapes, so that little is compiled."""

import pytest
import torch
from same_run import LONG, assert_same_run, kill_soon, log_of
from small_models import describe, small_training

from charlm.rng import dropout
from charlm.training.trainer import Trainer

DROPOUT = 0.2


def make_trainer(corpus, tokenizer, compile, **changes):
    changes_of_model = {"dropout": DROPOUT, "attention_every": 2}
    model = describe("today", tokenizer.vocab_size, **changes_of_model).build()
    return Trainer(small_training(compile=compile, **changes), model, corpus, tokenizer)


def run(trainer):
    return list(trainer.events())


@pytest.mark.slow
def test_compiled_training_agrees_with_eager(corpus, tokenizer, tolerance):
    """Both kinds of blocks, dropout included."""
    options = {"steps": 4, "eval_interval": 4}
    eager = make_trainer(corpus, tokenizer, "off", **options)
    run(eager)
    compiled = make_trainer(corpus, tokenizer, "on", **options)
    start = run(compiled)[0]
    assert start.compiled, start.notes
    for p, q in zip(eager.model.parameters(), compiled.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-2, atol=max(1e-3, tolerance))


@pytest.mark.slow
def test_a_compiled_run_with_dropout_resumes_to_the_same_bits(train, here, text_file):
    flags = [*LONG, "--n-layer", 1, "--compile", "on", "--dropout", DROPOUT, "--data", text_file]
    assert here(*flags, "--name", "uninterrupted")[0] == 0
    assert kill_soon(train.start(*flags, "--name", "killed"), 1.0)
    assert here("--name", "killed", "--resume")[0] == 0
    assert_same_run(train.checkpoints / "killed", train.checkpoints / "uninterrupted")
    assert log_of(train.checkpoints / "uninterrupted")[0]["compiled"]


@pytest.mark.slow
def test_compiled_dropout_drops_the_same():
    x = torch.randn(4, 256, 192)
    seeds = torch.tensor([2**31 - 1, -(2**31), 0, 12345], dtype=torch.int32)
    assert torch.compile(dropout)(x, 0.2, seeds).equal(dropout(x, 0.2, seeds))


@pytest.mark.slow
def test_without_a_compiler_a_run_notes_it_and_trains(corpus, tokenizer, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    trainer = make_trainer(corpus, tokenizer, "on", steps=2)
    # not by monkeypatch, whose undoing leaves torch without the setting
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}):
        start, *_, end = run(trainer)
    assert not start.compiled
    assert len(start.notes) == 1
    assert "without torch.compile" in start.notes[0]
    assert end.reason == "finished"


def test_a_short_run_is_not_compiled_unless_requested(corpus, tokenizer):
    start = next(make_trainer(corpus, tokenizer, "auto").events())
    assert not start.compiled
    assert not start.notes


@pytest.mark.parametrize("missing", ["compile", "compile and stances"])
def test_where_torch_compile_raises_a_run_notes_it_and_trains(
    missing, corpus, tokenizer, monkeypatch
):
    def refuse(*_, **__):
        raise RuntimeError("torch.compile is not supported on Python 3.99")

    monkeypatch.setattr(torch.nn.Module, "compile", refuse)
    if missing != "compile":
        monkeypatch.setattr(torch.compiler, "set_stance", refuse)
    start, *_, end = run(make_trainer(corpus, tokenizer, "on", steps=2))
    assert not start.compiled
    assert "not supported on Python 3.99" in start.notes[0]
    assert end.reason == "finished"


def test_where_compiled_gradients_are_wrong_a_run_notes_it_and_trains(
    corpus, tokenizer, monkeypatch
):
    def compile_wrongly(block, *_, **__):
        block.register_full_backward_pre_hook(lambda _, grads: tuple(g * 1.5 for g in grads))

    monkeypatch.setattr(torch.nn.Module, "compile", compile_wrongly)
    start, *_, end = run(make_trainer(corpus, tokenizer, "on", steps=2))
    assert not start.compiled
    assert start.notes == (
        "training without torch.compile, which failed here: its gradients are wrong",
    )
    assert end.reason == "finished"


def test_ctrl_c_leaves_the_compiler(corpus, tokenizer, monkeypatch):
    trainer = make_trainer(corpus, tokenizer, "on", steps=2)

    def interrupted(*_, **__):
        assert trainer.compiling
        trainer.stop()
        raise KeyboardInterrupt  # as the signal handler does

    monkeypatch.setattr(torch.nn.Module, "compile", interrupted)
    start, *events = run(trainer)
    assert not start.compiled
    assert [event.event for event in events] == ["save", "end"]
    assert events[-1].reason == "stopped"
