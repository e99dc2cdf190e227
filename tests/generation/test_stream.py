"""Streams and their contexts."""

from hypothesis import given
from hypothesis import strategies as st

from charlm.generation.stream import context_start


@given(length=st.integers(1, 500), block_size=st.integers(1, 64))
def test_the_context_fits_and_is_never_short(length, block_size):
    start = context_start(length, block_size)
    assert 0 <= start < length
    assert length - start <= block_size
    assert length <= block_size or length - start > block_size // 4 - 1
    assert context_start(length + 1, block_size) >= start
