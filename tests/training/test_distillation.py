"""Teachers: the targets and the batches of a student, and the loss of their mean."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from small_models import make_model, small_training

from charlm.config import DistillConfig
from charlm.data.batches import batch
from charlm.models.checkpoint import Distillation
from charlm.training.distillation import Teachers
from charlm.training.evaluation import cross_entropy

V, T = 11, 16
MODELS = [make_model(name, V) for name in ("bigram", "lecture", "today")]
IDS, WRITTEN = (
    torch.randint(V, (n,), generator=torch.Generator().manual_seed(n)) for n in (500, 900)
)


def make_teachers(**options):
    return Teachers(MODELS, Distillation(DistillConfig(**options), ()), WRITTEN)


def mean_probabilities(ids):
    """Return the mean by the definition, one model after the other: (B, T) to (B, T, V)."""
    with torch.no_grad():
        return torch.stack(
            [model(ids).exp() / model(ids).exp().sum(-1, True) for model in MODELS]
        ).mean(0)


def test_targets_are_the_mean_and_on_training_text_also_the_character_that_came():
    x, y, written = make_teachers().batch(IDS, T, small_training(batch_size=4), 0)
    assert written.tolist() == [False, False, True, True]
    targets, mean = make_teachers(teacher_weight=0.3).targets(x, y, written), mean_probabilities(x)
    torch.testing.assert_close(targets[2:], mean[2:])
    torch.testing.assert_close(targets[:2], 0.3 * mean[:2] + 0.7 * F.one_hot(y[:2], V))
    torch.testing.assert_close(targets.sum(-1), torch.ones(4, T))


def test_the_loss_of_a_student_has_the_gradient_of_these_probabilities():
    x, y, written = make_teachers().batch(IDS, T, small_training(batch_size=4), 0)
    targets, student = make_teachers().targets(x, y, written), make_model("today", V)
    loss = cross_entropy(student, x, targets)
    expected = -(targets * student(x).log_softmax(-1)).sum(-1).mean()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(("share", "n"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_the_written_share_of_a_batch_is_written(share, n):
    config = small_training(batch_size=8, order="epochs")
    x, y, written = make_teachers(written_share=share).batch(IDS, T, config, 5)
    assert written.tolist() == [False] * (8 - n) + [True] * n
    for rows, ids in ((x[~written], IDS), (x[written], WRITTEN)):
        places = {tuple(ids[i : i + T].tolist()) for i in range(len(ids) - T)}
        assert all(tuple(row.tolist()) in places for row in rows)
    assert y[:, :-1].equal(x[:, 1:])
    if n == 0:  # as without teachers
        assert x.equal(batch(IDS, 8, T, config.seed, 5, "epochs")[0])


def test_batches_are_a_function_of_the_seed_and_the_step():
    teachers, config = make_teachers(), small_training(batch_size=4)
    first, again = (teachers.batch(IDS, T, config, 3)[0] for _ in range(2))
    assert first.equal(again)
    for seed, step in ((config.seed, 4), (2, 3)):
        x = teachers.batch(IDS, T, dataclasses.replace(config, seed=seed), step)[0]
        assert not first[:2].equal(x[:2])
        assert not first[2:].equal(x[2:])


@pytest.mark.parametrize("length", [2, T, T + 1, 3 * T + 5])
def test_the_loss_of_the_mean_is_that_of_its_probabilities(length):
    ids, total = IDS[:length], 0.0
    for start in range(0, length - 1, T):
        x, y = ids[start : start + T][: length - 1 - start], ids[start + 1 : start + 1 + T]
        total -= mean_probabilities(x[None])[0].gather(1, y[:, None]).log().sum().item()
    assert make_teachers().loss(ids, T) == pytest.approx(total / (length - 1), rel=1e-5)
