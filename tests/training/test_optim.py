import pytest
import torch
from small_models import make_model, small_training

from charlm.config import TrainConfig
from charlm.training.optim import AdamW, Muon, lr_scale, make_group, make_optimizers, orthogonalize


@pytest.mark.parametrize("shape", [(4, 16, 16), (3, 8, 32), (3, 32, 8)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert values.min() > 0.3
    assert values.max() < 1.3


@pytest.mark.parametrize("rows_and_columns", [(12, 12), (12, 40), (40, 12)])
def test_orthogonalizing_keeps_singular_vectors(rows_and_columns):
    torch.manual_seed(0)
    matrix = torch.randn(1, *rows_and_columns)
    u, _, vh = torch.linalg.svd(matrix[0], full_matrices=False)
    aligned = u.T @ orthogonalize(matrix)[0] @ vh.T
    assert aligned.diagonal().min() > 0.3
    assert (aligned - aligned.diagonal().diag()).abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(64, 64), (64, 256), (256, 64)])
def test_nearly_singular_matrices_stay_bounded(shape):
    """Gradients of an unused part have rounding errors only, and those of a new model few ranks."""
    torch.manual_seed(0)
    u, _, vh = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    for values in (torch.zeros(64), torch.eye(64)[0], torch.logspace(0, -12, 64)):
        x = orthogonalize(((u * values) @ vh)[None])
        assert torch.linalg.svdvals(x).max() < 1.3


def test_muon_agrees_with_the_one_in_torch():
    """torch.optim.Muon computes in bfloat16, so agreement is to within its rounding."""
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(24, 12)), torch.nn.Parameter(torch.randn(12, 12))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    a = Muon([make_group(ours, 0.1, 0.1)], momentum=0.9)
    b = torch.optim.Muon(theirs, lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        a.step()
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        assert (p - q).abs().max() < 0.02 * p.abs().max()


@pytest.mark.parametrize(("rows", "columns", "dim"), [(24, 12, 1), (12, 12, 1), (12, 24, 0)])
def test_with_beta2_rows_or_columns_learn_equally_fast(rows, columns, dim):
    torch.manual_seed(0)
    scale = torch.logspace(-2, 0, max(rows, columns)).unsqueeze(dim)  # of the gradients
    moved = {}
    for beta2 in (0.0, 0.9):
        p = torch.nn.Parameter(torch.zeros(rows, columns))
        muon = Muon([make_group([p], 0.1, 0.0)], momentum=0.0, beta2=beta2)
        for _ in range(50):
            p.grad = torch.randn(rows, columns) * scale
            before = p.detach().clone()
            muon.step()
            moved[beta2] = p.detach() - before
    norms = {beta2: x.norm(dim=dim) for beta2, x in moved.items()}
    assert norms[0.9].norm() == pytest.approx(norms[0.0].norm().item(), rel=0.2)
    assert norms[0.9].max() / norms[0.9].min() < norms[0.0].max() / norms[0.0].min()


def test_an_update_of_zeros_stays_zeros():
    """As those of all matrices but the last, whose output layers start at zero, at step 0."""
    p = torch.nn.Parameter(torch.ones(4, 4))
    muon = Muon([make_group([p], 0.1, 0.0)], momentum=0.9, beta2=0.9)
    p.grad = torch.zeros(4, 4)
    muon.step()
    assert p.equal(torch.ones(4, 4))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("name", ["bigram", "lecture", "today"])
def test_every_weight_has_one_optimizer(name, optimizer):
    model = make_model(name, 11)
    optimizers = make_optimizers(model, small_training(optimizer=optimizer))
    moved = [p for o in optimizers for group in o.param_groups for p in group["params"]]
    assert len(moved) == len(set(moved))
    assert set(moved) == set(model.parameters())
    if optimizer == "muon" and name != "bigram":
        assert all(p.ndim == 2 for p in optimizers[1].param_groups[0]["params"])


def test_the_learning_rate_rises_stays_and_falls():
    config = TrainConfig(steps=100, warmup_steps=9, decay="linear", decay_fraction=0.5)
    scales = [lr_scale(step, config) for step in range(100)]
    assert scales[0] == pytest.approx(0.1)
    assert scales[9:50] == [1.0] * 41
    assert scales[75] == pytest.approx(0.5)
    assert scales[99] == pytest.approx(0.02)
    assert scales[50:] == sorted(scales[50:], reverse=True)


def test_cosine_and_constant_schedules():
    cosine = TrainConfig(steps=100, decay="cosine", decay_fraction=1.0)
    assert lr_scale(50, cosine) == pytest.approx(0.5)
    assert lr_scale(99, cosine) < 0.01
    assert lr_scale(99, TrainConfig(steps=100, decay="constant")) == 1.0


def test_adamw_agrees_with_the_one_in_torch():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(24, 12)), torch.nn.Parameter(torch.randn(12))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    groups = [make_group([p], 0.1, decay) for p, decay in zip(ours, (0.1, 0.0), strict=True)]
    a = AdamW(groups, (0.9, 0.95))
    groups = [{"params": [q], "weight_decay": d} for q, d in zip(theirs, (0.1, 0.0), strict=True)]
    b = torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.95), fused=True)
    for _ in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        a.step()
        b.step()
    assert all(map(torch.equal, ours, theirs))
    a.zero_grad()
    assert all(p.grad is None for p in ours)
