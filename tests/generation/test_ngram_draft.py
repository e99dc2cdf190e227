import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import make_model

from charlm.config import SampleConfig
from charlm.generation import batch as batches
from charlm.generation import ngram_draft as drafts
from charlm.generation.batch import Batch, Stream, right, warm_up_draft
from charlm.generation.ngram_draft import Draft
from charlm.generation.sampling import choose

SHARES = [[0.25, 0.5, 1.0], [0.0, 0.0, 1.0], [0.5, 1.0, 1.0]]


def test_a_guess_is_what_was_chosen_after_the_same_characters():
    draft = Draft(3)
    for i, shares in enumerate(SHARES):
        draft.learn([0, i], shares)
    for i, shares in enumerate(SHARES):
        for number in (0.0, 0.3, 0.5, 0.75, 0.999):
            assert draft.guess([2, 2, 0, i], [number]) == choose(torch.tensor([shares]), [number])


def test_the_longest_context_that_is_known_counts():
    draft = Draft(3)
    draft.learn([1, 1, 0], [0.0, 0.0, 1.0])
    draft.learn([2, 0], [1.0, 1.0, 1.0])
    assert draft.guess([1, 1, 0], [0.5]) == [2]
    assert draft.guess([0, 0], [0.5]) == [0]  # what came last after the one character


def test_guesses_build_on_each_other_and_end_where_nothing_is_known():
    draft = Draft(3)
    draft.learn([0], [0.0, 1.0, 1.0])
    draft.learn([1], [0.0, 0.0, 1.0])
    assert draft.guess([0], [0.1, 0.2, 0.3]) == [1, 2]
    assert draft.guess([2], [0.1]) == []
    assert draft.guess([0], []) == []


def test_memory_is_bounded_and_the_oldest_goes_first(monkeypatch):
    monkeypatch.setattr(drafts, "NUMBERS", 30)
    draft = Draft(3)
    for i in range(100):
        draft.learn([i], SHARES[0])
    assert len(draft.shares) == 10
    assert draft.guess([99], [0.3]) == [1]
    assert draft.guess([5], [0.3]) == []
    monkeypatch.setattr(drafts, "NUMBERS", 0)
    Draft(3).learn([1, 2], SHARES[0])


@given(
    guesses=st.lists(st.integers(0, 2), max_size=6),
    chosen=st.lists(st.integers(0, 2), min_size=7, max_size=7),
)
def test_a_choice_counts_if_all_guesses_before_it_were_right(guesses, chosen):
    chosen = chosen[: len(guesses) + 1]
    count = right([9, *guesses], chosen)
    assert guesses[: count - 1] == chosen[: count - 1]
    assert count == len(chosen) or guesses[count - 1] != chosen[count - 1]


def passes(model, draft, seed):
    batch, stream = Batch(model, 1, draft), Stream([1], SampleConfig(200, seed=seed))
    batch.add(stream)
    for count in range(1, 1000):
        batch.step()
        if stream.complete:
            return count, stream.ids
    raise AssertionError


def test_practice_saves_passes_and_changes_no_text(monkeypatch):
    monkeypatch.setattr(batches, "WARM_UP", (20, 100))
    model, draft = make_model("today", 5), Draft(5)
    assert len(list(warm_up_draft(model, draft))) >= 100
    for seed in (100, 101):
        practised, text = passes(model, draft, seed)
        monkeypatch.setattr(batches, "MAX_DRAFT_ROWS", 1)
        plain, same = passes(model, Draft(5), seed)
        monkeypatch.undo()
        assert practised < 0.8 * plain
        assert text == same
