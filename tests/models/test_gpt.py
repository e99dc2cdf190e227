import math

import pytest
import torch
import torch.nn.functional as F
from small_models import LECTURE, make_model

from charlm.config import GPTConfig
from charlm.models.gpt import GPT
from charlm.models.positions import rotary_angles, rotate
from charlm.presets import PRESETS
from charlm.rng import dropout, mix_bits

V = 11


@pytest.fixture(params=["lecture", "today", "convolving"])
def gpt(request):
    if request.param == "convolving":
        return make_model("today", V, n_layer=3, attention_every=2, conv_size=3)
    return make_model(request.param, V)


def ids(*shape):
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(3))


def test_logits_have_a_row_per_character(gpt):
    logits = gpt(ids(2, 9))
    assert logits.shape == (2, 9, V)
    assert logits.dtype == torch.float32


def test_logits_do_not_depend_on_the_future(gpt):
    a = ids(1, 16)
    b = a.clone()
    b[:, 10:] = (b[:, 10:] + 1) % V
    torch.testing.assert_close(gpt(a)[:, :10], gpt(b)[:, :10])
    assert not gpt(a)[:, 10:].allclose(gpt(b)[:, 10:])


def test_logits_depend_on_the_whole_past(gpt):
    a = ids(1, 16)
    b = a.clone()
    b[:, 0] = (b[:, 0] + 1) % V
    assert not gpt(a)[:, -1].allclose(gpt(b)[:, -1])


def test_more_than_the_context_is_refused(gpt):
    with pytest.raises(ValueError, match="17 characters exceed the context of 16"):
        gpt(ids(1, 17))


def test_the_gpt_preset_has_the_lectures_parameter_count():
    """Count the parameters of the lecture's layers, biases included."""
    C, T, layers, vocab = 128, 32, 8, 65
    head = 3 * C * C + (C * C + C)  # queries, keys, values; the projection
    feed_forward = (C * 4 * C + 4 * C) + (4 * C * C + C)
    block = head + feed_forward + 2 * 2 * C  # two LayerNorms
    expected = vocab * C + T * C + layers * block + 2 * C + (C * vocab + vocab)
    model = GPT(PRESETS["gpt"].model)
    assert sum(p.numel() for p in model.parameters()) == expected == 1_604_161


def test_attention_computes_what_the_lectures_does():
    """Compare a block's attention with the lecture's, computed head by head."""
    model = make_model("lecture", V)
    attention = model.blocks[0].mixer
    x = torch.randn(1, 9, 16)
    heads, size = [], 8
    for h in range(2):
        rows = slice(h * size, (h + 1) * size)
        q, k, v = (
            x @ layer.weight[rows].T for layer in (attention.query, attention.key, attention.value)
        )
        affinity = q @ k.transpose(-2, -1) * size**-0.5
        affinity = affinity.masked_fill(torch.tril(torch.ones(9, 9)) == 0, -math.inf)
        heads.append(F.softmax(affinity, dim=-1) @ v)
    expected = attention.proj(torch.cat(heads, dim=-1))
    got = attention(x, model.mask[:9, :9], None, None)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_rotated_products_depend_on_the_distance_only():
    cos, sin = rotary_angles(32, 8)
    q, k = torch.randn(2, 8)
    rotated_q, rotated_k = (rotate(x.expand(1, 1, 32, 8), cos, sin)[0, 0] for x in (q, k))
    products = rotated_q @ rotated_k.T  # (32, 32)
    for distance in (0, 3, 11):
        diagonal = products.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rotated_q.norm(dim=-1), q.norm().expand(32))


def test_todays_network_starts_with_a_uniform_distribution():
    logits = GPT(GPTConfig(vocab_size=V, block_size=16, n_layer=2, n_head=2, n_embd=16))(ids(2, 16))
    loss = F.cross_entropy(logits.flatten(0, 1), ids(2, 16).flatten())
    assert loss.item() == pytest.approx(math.log(V))


@pytest.mark.parametrize("name", list(LECTURE))
def test_every_option_of_the_network_matters(name):
    base = make_model("today", V)
    changed = make_model("today", V, **{name: LECTURE[name]})
    same_shapes = [p.shape for p in base.parameters()] == [p.shape for p in changed.parameters()]
    assert not same_shapes or not base(ids(1, 16)).allclose(changed(ids(1, 16)))


def test_a_convolution_sees_the_last_characters_only():
    model = make_model("today", V, n_layer=2, attention_every=3, conv_size=3)
    a = ids(1, 16)
    for back, visible in ((4, True), (5, False)):  # two blocks, each two characters back
        b = a.clone()
        b[:, 15 - back] = (b[:, 15 - back] + 1) % V
        assert model(a)[:, -1].allclose(model(b)[:, -1]) != visible


def test_the_hash_is_one_to_one():
    x = torch.arange(-100_000, 100_000, dtype=torch.int32)
    assert len(mix_bits(x).unique()) == len(x)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_a_fraction_p_and_keeps_the_mean(p):
    x = torch.ones(64, 50, 40)
    seeds = torch.arange(64, dtype=torch.int32)
    dropped = dropout(x, p, seeds)
    assert float((dropped == 0).float().mean()) == pytest.approx(p, abs=0.005)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.01)
    gone = (dropped == 0).float().flatten(1)  # (64, 2000)
    between = torch.corrcoef(gone) - torch.eye(64)  # of 64 * 63 / 2 pairs of rows
    assert between.abs().max() < 0.12, "rows are dropped alike"
    along = torch.corrcoef(torch.stack((gone[:, :-1].flatten(), gone[:, 1:].flatten())))[0, 1]
    assert along.abs() < 0.01, "neighbours are dropped alike"


def test_dropout_of_a_row_depends_on_its_seed_alone():
    x, seeds = torch.randn(5, 7, 3), torch.tensor([3, 1, 4, 1, 5], dtype=torch.int32)
    whole = dropout(x, 0.3, seeds)
    assert whole[2:4].equal(dropout(x[2:4], 0.3, seeds[2:4]))
    assert (whole[1] == 0).equal(whole[3] == 0)
    assert not (whole[0] == 0).equal(whole[1] == 0)
    assert dropout(x, 0.3, None) is x


def test_dropout_is_active_in_training_mode_only():
    model, x = make_model("today", V, dropout=0.2), ids(2, 9)
    assert model(x).equal(model(x))
    model.train()
    assert not model(x).equal(model(x))
    seeds = torch.tensor([7, 8], dtype=torch.int32)
    assert model(x, seeds=seeds).equal(model(x, seeds=seeds))
