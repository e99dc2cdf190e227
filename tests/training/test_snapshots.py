import itertools

import pytest
import torch
from small_models import make_model, small_training

from charlm.training.snapshots import snapshot_schedule
from charlm.training.state import TrainerState
from charlm.training.trainer import Trainer


@pytest.mark.parametrize("steps", [1, 2, 5, 12, 540, 4400, 10_000, 10**9])
@pytest.mark.parametrize("count", [2, 3, 10, 12, 1000])
def test_a_schedule_goes_from_0_to_the_last_step(steps, count):
    schedule = sorted(snapshot_schedule(steps, count))
    assert (schedule[0], schedule[-1]) == (0, steps)
    assert len(schedule) <= max(2, count)
    gaps = [later - earlier for earlier, later in itertools.pairwise(schedule[1:])]
    # each gap is wider than the one before, up to rounding
    assert all(wider >= gap - 1 for gap, wider in itertools.pairwise(gaps))


def test_a_schedule_may_have_few_steps():
    assert snapshot_schedule(540, 0) == set()
    assert snapshot_schedule(540, 1) == {540}
    assert len(snapshot_schedule(540, 12)) == 12


def make_trainer(corpus, tokenizer, start=None, **changes):
    options = {"steps": 6, "snapshots": 4, "log_interval": 1, "ema_decay": 0.5} | changes
    model = make_model("today", tokenizer.vocab_size)
    return Trainer(small_training(**options), model, corpus, tokenizer, start)


def weights_of(trainer):
    return {name: t.clone() for name, t in trainer.eval_model.state_dict().items()}


def assert_same(weights, others):
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize("store", ["fp32", "bf16"])
def test_a_snapshot_has_the_weights_of_a_run_stopped_at_that_step(corpus, tokenizer, store):
    trainer = make_trainer(corpus, tokenizer, store=store)
    kept = {e.step: weights_of(trainer) for e in trainer.events() if e.event == "snapshot"}
    assert kept.keys() == snapshot_schedule(6, 4)
    for step in kept.keys() - {0}:
        stopped = make_trainer(corpus, tokenizer, store=store)
        for event in stopped.events():
            if event.event == "step" and event.step == step:
                stopped.stop()
            if event.event == "save":
                saved = weights_of(stopped)
        assert_same(saved, kept[step])


def test_the_loss_of_a_snapshot_is_the_estimate_of_its_evaluation(corpus, tokenizer):
    often, seldom = (
        list(make_trainer(corpus, tokenizer, eval_interval=interval).events())
        for interval in (1, 100)
    )
    estimates = {e.step: e.val_estimate for e in often if e.event == "eval"}
    for events in (often, seldom):
        snapshots = {e.step: e.val_estimate for e in events if e.event == "snapshot"}
        assert len(snapshots) > 2
        assert snapshots == {step: estimates[step] for step in snapshots}


def test_snapshots_change_nothing_else(corpus, tokenizer):
    with_them, without = (
        make_trainer(corpus, tokenizer),
        make_trainer(corpus, tokenizer, snapshots=0),
    )
    losses = [
        [(e.event, e.step, e.loss) for e in trainer.events() if e.event == "step"]
        for trainer in (with_them, without)
    ]
    assert losses[0] == losses[1]
    assert_same(weights_of(with_them), weights_of(without))


@pytest.mark.parametrize("stop_at", range(1, 6))
def test_a_resumed_run_takes_the_same_snapshots(corpus, tokenizer, stop_at):
    whole = make_trainer(corpus, tokenizer)
    expected = {e.step: weights_of(whole) for e in whole.events() if e.event == "snapshot"}
    first, kept = make_trainer(corpus, tokenizer), {}
    for event in first.events():
        if event.event == "snapshot":
            kept[event.step] = weights_of(first)
        if event.event == "step" and event.step == stop_at:
            first.stop()
    state = first.state()
    copies = {name: tensor.clone() for name, tensor in state.tensors.items()}
    state = TrainerState(state.step, state.time, copies, state.evaluated)
    second = make_trainer(corpus, tokenizer, state)
    for event in second.events():
        if event.event == "snapshot":
            assert event.step not in kept, "it was taken twice"
            kept[event.step] = weights_of(second)
    assert kept.keys() == expected.keys()
    for step in kept:
        assert_same(kept[step], expected[step])


def test_weights_that_are_not_finite_are_no_snapshot(corpus, tokenizer):
    trainer = make_trainer(corpus, tokenizer, eval_interval=6, snapshots=1000)
    events = []
    for event in trainer.events():
        events.append(event)
        if event.event == "step" and event.step == 2:
            with torch.no_grad():
                for p in (*trainer.model.parameters(), *trainer.average):
                    p.fill_(float("nan"))
    assert (events[-1].event, events[-1].reason) == ("end", "failed")
    assert [e.step for e in events if e.event == "snapshot"] == [0, 1]
