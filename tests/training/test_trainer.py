import math
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from small_models import SMALL, describe, make_model, small_training

from charlm.config import ConfigError
from charlm.data.batches import windows
from charlm.data.corpus import DataError
from charlm.training import trainer as trainer_module
from charlm.training.distributed import World
from charlm.training.precision import choose_precision, multiplies_bf16_faster
from charlm.training.state import TrainerState
from charlm.training.trainer import Trainer


def make_trainer(corpus, tokenizer, start=None, name="today", dropout=0.1, every=1, **changes):
    options = {} if name == "bigram" else {"dropout": dropout, "attention_every": every}
    model = describe(name, tokenizer.vocab_size, **options).build()
    return Trainer(small_training(**changes), model, corpus, tokenizer, start)


def run(trainer):
    return list(trainer.events())


def without_times(events):
    volatile = {"time", "started", "chars_per_second"}
    return [(e.event, {k: v for k, v in vars(e).items() if k not in volatile}) for e in events]


def test_the_events_of_a_run_in_order(corpus, tokenizer):
    events = run(make_trainer(corpus, tokenizer, steps=6, eval_interval=4, log_interval=2))
    assert [(e.event, e.step) for e in events] == [
        ("start", 0),
        ("eval", 0),
        ("save", 0),
        ("step", 2),
        ("step", 4),
        ("eval", 4),
        ("save", 4),
        ("step", 6),
        ("eval", 6),
        ("save", 6),
        ("end", 6),
    ]
    assert events[-1].reason == "finished"
    assert events[0].data == {"name": corpus.name, "sha256": corpus.sha256}
    times = [e.time for e in events]
    assert times == sorted(times)


@pytest.mark.parametrize("name", ["bigram", "lecture", "today"])
def test_training_lowers_the_validation_loss(name, corpus, tokenizer):
    rate = {"learning_rate": 0.1} if name == "bigram" else {}
    trainer = make_trainer(corpus, tokenizer, name=name, steps=60, eval_interval=60, **rate)
    first, last = (e for e in run(trainer) if e.event == "eval")
    assert last.val_loss < first.val_loss - 0.5


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("stop_at", [4, 5])
def test_resuming_equals_an_uninterrupted_run(corpus, tokenizer, optimizer, ema_decay, stop_at):
    options = {"optimizer": optimizer, "ema_decay": ema_decay, "log_interval": 1}
    whole = make_trainer(corpus, tokenizer, **options)
    expected = run(whole)

    first, events = make_trainer(corpus, tokenizer, **options), []
    for event in first.events():
        events.append(event)
        if event.event == "step" and event.step == stop_at:
            first.stop()
    assert (events[-1].event, events[-1].reason) == ("end", "stopped")
    saved = first.state()
    copies = {name: tensor.clone() for name, tensor in saved.tensors.items()}
    second = make_trainer(
        corpus, tokenizer, TrainerState(saved.step, saved.time, copies, saved.evaluated), **options
    )
    events = [e for e in events if e.event not in ("save", "end")]
    events += [e for e in run(second) if e.event not in ("start", "save")]
    assert without_times(events) == without_times(e for e in expected if e.event != "save")
    for model in ("model", "eval_model"):
        a, b = getattr(whole, model).state_dict(), getattr(second, model).state_dict()
        assert all(a[name].equal(b[name]) for name in a)


def test_a_run_that_ends_where_it_was_stopped_is_evaluated_there(corpus, tokenizer):
    first = make_trainer(corpus, tokenizer, log_interval=1)
    for event in first.events():
        if event.event == "step" and event.step == 6:
            first.stop()
    events = run(make_trainer(corpus, tokenizer, first.state(), steps=6))
    assert [(e.event, e.step) for e in events[1:]] == [("eval", 6), ("save", 6), ("end", 6)]


def test_the_whole_validation_split_is_evaluated(corpus, tokenizer, tolerance):
    trainer = make_trainer(corpus, tokenizer)
    trainer.model.load_state_dict(make_model("today", tokenizer.vocab_size).state_dict())
    ids = trainer.val_ids
    assert (len(ids) - 1) % SMALL["block_size"] != 0, "the text should leave a shorter last window"
    losses = []
    with torch.no_grad():
        for start in range(0, len(ids) - 1, 16):
            x, y = ids[start : start + 17][:-1], ids[start : start + 17][1:]
            logits = trainer.model.eval()(x.unsqueeze(0))[0]
            losses += F.cross_entropy(logits, y, reduction="none").tolist()
    assert len(losses) == len(ids) - 1
    *_, (done, total, found) = trainer.evaluate()
    assert done == total
    assert found["val_loss"] == pytest.approx(sum(losses) / len(losses), rel=tolerance)


@pytest.mark.parametrize("n", [2, 8, 9, 10, 40, 41])
def test_windows_cover_every_target_once(n):
    batches = list(windows(torch.arange(n), 8, 2))
    assert torch.cat([y.flatten() for _, y in batches]).tolist() == list(range(1, n))
    assert all(y.equal(x + 1) for x, y in batches)
    assert all(y.numel() for _, y in batches)


def test_a_validation_split_shorter_than_a_window_is_evaluated(corpus, tokenizer):
    short = replace(corpus, text=corpus.text[:150])  # 15 characters of it, windows of 16
    *_, end = run(make_trainer(short, tokenizer))
    assert (end.event, end.reason) == ("end", "finished")


def test_a_loss_that_is_not_finite_ends_the_run_as_failed(corpus, tokenizer):
    trainer = make_trainer(
        corpus, tokenizer, optimizer="adamw", learning_rate=1e30, grad_clip=0.0, dropout=0.0
    )
    events, good = [], None
    for event in trainer.events():
        events.append(event)
        if event.event == "save":
            good = trainer.state().step
    assert (events[-1].event, events[-1].reason) == ("end", "failed")
    assert "not finite" in events[-1].message
    assert good == 0
    assert all(math.isfinite(e.loss) for e in events if e.event == "step")


def test_stored_precision_is_the_evaluated_one(corpus, tokenizer):
    trainer = make_trainer(corpus, tokenizer, store="bf16")
    run(trainer)
    for p, kept in zip(trainer.model.parameters(), trainer.eval_model.parameters(), strict=True):
        assert kept.equal(p.bfloat16().float())


def test_an_average_of_weights_lags_behind(corpus, tokenizer):
    trainer = make_trainer(corpus, tokenizer, ema_decay=0.9)
    run(trainer)
    a, b = trainer.model.state_dict(), trainer.eval_model.state_dict()
    assert any(not a[name].equal(b[name]) for name in a)


def test_a_state_of_another_model_is_refused(corpus, tokenizer):
    state = make_trainer(corpus, tokenizer, name="bigram").state()
    with pytest.raises(ConfigError, match="the resume state does not fit this run"):
        make_trainer(corpus, tokenizer, state)


def test_stopping_never_saves_weights_that_are_not_finite(corpus, tokenizer):
    trainer = make_trainer(corpus, tokenizer, steps=12, eval_interval=12, log_interval=1)
    events = []
    for event in trainer.events():
        events.append(event)
        if event.event == "step" and event.step == 3:
            with torch.no_grad():
                next(trainer.model.parameters()).fill_(math.nan)
            trainer.stop()
    assert [e.event for e in events].count("save") == 1
    assert events[-1].reason == "failed"


def test_a_text_shorter_than_the_context_is_refused(corpus, tokenizer):
    model = describe("today", tokenizer.vocab_size, block_size=10_000).build()
    with pytest.raises(DataError, match="block_size is 10000, but nine tenths of small"):
        Trainer(small_training(), model, corpus, tokenizer)


def test_speeds_need_no_fine_clock(corpus, tokenizer, monkeypatch):
    """Windows counts time.monotonic in ticks of 16 ms, in which many steps may fit."""
    trainer = make_trainer(corpus, tokenizer, log_interval=1)
    # of this module alone: the event loops of other threads would wait for hours
    clock = SimpleNamespace(monotonic=lambda: 100.0, perf_counter=time.perf_counter)
    monkeypatch.setattr(trainer_module, "time", clock)
    assert all(e.chars_per_second > 0 for e in trainer.events() if e.event == "step")


def test_an_agreed_stop_is_final(corpus, tokenizer):
    trainer = make_trainer(corpus, tokenizer)
    trainer.world = World(1, 2)
    trainer.stop()
    assert not trainer.stopping, "it stopped without the others"
    trainer.stopping = True
    trainer.stop()
    assert trainer.stopping


def test_the_requested_precision_is_used(monkeypatch):
    monkeypatch.delenv("CHARLM_PRECISION", raising=False)
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) == "fp32"
    assert choose_precision("bf16", cpu) == "bf16"
    assert choose_precision("auto", cpu) in ("fp32", "bf16")
    assert choose_precision("auto", torch.device("mps")) == "fp32"


@pytest.mark.parametrize(
    ("able", "faster"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_auto_means_bf16_where_its_products_are_faster(able, faster):
    assert multiplies_bf16_faster(able) is faster


def test_the_environment_decides_what_auto_means(monkeypatch):
    cpu = torch.device("cpu")
    for precision in ("fp32", "bf16"):
        monkeypatch.setenv("CHARLM_PRECISION", precision)
        assert choose_precision("auto", cpu) == precision
        assert choose_precision("fp32", cpu) == "fp32"
    monkeypatch.setenv("CHARLM_PRECISION", "fp16")
    with pytest.raises(ConfigError, match="CHARLM_PRECISION is 'fp16'"):
        choose_precision("auto", cpu)


def test_bf16_training_works(corpus, tokenizer):
    first, last = (
        e
        for e in run(make_trainer(corpus, tokenizer, precision="bf16", steps=20, eval_interval=20))
        if e.event == "eval"
    )
    assert last.val_loss < first.val_loss


def test_training_does_not_depend_on_the_global_random_state(corpus, tokenizer):
    torch.manual_seed(1)
    a = make_trainer(corpus, tokenizer)
    run(a)
    torch.manual_seed(2)
    b = make_trainer(corpus, tokenizer)
    run(b)
    assert all(p.equal(q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True))


@pytest.mark.parametrize("whole", [True, False])
def test_a_run_that_is_over_keeps_no_threads_asleep(corpus, tokenizer, whole):
    trainer, closed = make_trainer(corpus, tokenizer), []
    trainer.spinning.close = lambda: closed.append(trainer.step)
    if whole:
        run(trainer)
    else:  # as after a failure to save
        events = trainer.events()
        assert next(events).event == "start"
        events.close()
    assert closed == [trainer.step]


def test_an_evaluation_is_left_when_the_run_is_stopped_and_made_on_resumption(corpus, tokenizer):
    trainer = make_trainer(corpus, tokenizer)
    events = trainer.events()
    next(events)
    evaluate = trainer.evaluate

    def stopped_in_evaluation():
        for number, part in enumerate(evaluate()):
            if number == 1:
                trainer.stop()
            assert number < 3, "the evaluation goes on"
            yield part

    trainer.evaluate = stopped_in_evaluation
    assert [event.event for event in events] == ["save", "end"]
    state = trainer.state()
    assert (state.step, state.evaluated) == (0, False)
    resumed = make_trainer(corpus, tokenizer, start=state)
    assert [event.event for event in resumed.events()][:3] == ["start", "eval", "save"]
