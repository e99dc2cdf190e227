import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlm.data.batches import batch


@given(seed=st.integers(0, 2**40), step=st.integers(0, 10**6))
def test_a_batch_is_a_pure_function_of_seed_and_step(seed, step):
    ids = torch.arange(1000)
    torch.manual_seed(0)
    x, y = batch(ids, 3, 8, seed, step)
    torch.manual_seed(1)
    again = batch(ids, 3, 8, seed, step)
    assert x.equal(again[0]) and y.equal(again[1])
    assert x.shape == (3, 8) and y.equal(x + 1)
    assert not x.equal(batch(ids, 3, 8, seed, step + 1)[0])


def test_batches_reach_both_ends_of_the_text():
    ids = torch.arange(12)
    starts = {int(x) for step in range(50) for x in batch(ids, 4, 8, 0, step)[0][:, 0]}
    assert starts == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("length", "block_size", "batch_size"), [(1003, 10, 7), (30, 8, 5), (9, 8, 3)]
)
def test_an_epoch_has_every_window_once(length, block_size, batch_size):
    ids, n = torch.arange(length), max(1, (length - 1) // block_size - 1)
    rows, epochs = [], []
    for step in range(3 * n):
        x, y = batch(ids, batch_size, block_size, 5, step, "epochs")
        assert x.shape == (batch_size, block_size)
        assert y.equal(x + 1)
        rows += x[:, 0].tolist()
    for epoch in range(3 * n * batch_size // n):
        starts = sorted(rows[epoch * n : (epoch + 1) * n])
        assert starts == list(range(starts[0], starts[0] + n * block_size, block_size))
        epochs.append(rows[epoch * n : (epoch + 1) * n])
    assert n == 1 or epochs[0] != epochs[1]
