import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import make_model

from charlm.config import SampleConfig
from charlm.generation import batch as batches
from charlm.generation import ngram_draft as drafts
from charlm.generation import warm_up
from charlm.generation.batch import Batch
from charlm.generation.ngram_draft import NgramDraft, accepted_length
from charlm.generation.sampling import sample_from_cdf
from charlm.generation.stream import Stream

CDFS = [[0.25, 0.5, 1.0], [0.0, 0.0, 1.0], [0.5, 1.0, 1.0]]


def test_a_proposal_equals_the_choice_of_the_model_after_the_same_characters():
    draft = NgramDraft(3)
    for i, cdf in enumerate(CDFS):
        draft.update([0, i], cdf)
    for i, cdf in enumerate(CDFS):
        for u in (0.0, 0.3, 0.5, 0.75, 0.999):
            assert draft.propose([2, 2, 0, i], [u]) == sample_from_cdf(torch.tensor([cdf]), [u])


def test_the_longest_known_context_decides():
    draft = NgramDraft(3)
    draft.update([1, 1, 0], [0.0, 0.0, 1.0])
    draft.update([2, 0], [1.0, 1.0, 1.0])
    assert draft.propose([1, 1, 0], [0.5]) == [2]
    assert draft.propose([0, 0], [0.5]) == [0]  # the latest update after this one character


def test_proposals_build_on_each_other_and_end_where_no_context_is_known():
    draft = NgramDraft(3)
    draft.update([0], [0.0, 1.0, 1.0])
    draft.update([1], [0.0, 0.0, 1.0])
    assert draft.propose([0], [0.1, 0.2, 0.3]) == [1, 2]
    assert draft.propose([2], [0.1]) == []
    assert draft.propose([0], []) == []


def test_memory_is_bounded_and_the_least_recent_is_evicted(monkeypatch):
    monkeypatch.setattr(drafts, "MAX_NUMBERS", 30)
    draft = NgramDraft(3)
    for i in range(100):
        draft.update([i], CDFS[0])
    assert len(draft.cdfs) == 10
    assert draft.propose([99], [0.3]) == [1]
    assert draft.propose([5], [0.3]) == []
    monkeypatch.setattr(drafts, "MAX_NUMBERS", 0)
    NgramDraft(3).update([1, 2], CDFS[0])


@given(
    proposals=st.lists(st.integers(0, 2), max_size=6),
    chosen=st.lists(st.integers(0, 2), min_size=7, max_size=7),
)
def test_a_choice_counts_if_all_proposals_before_it_were_accepted(proposals, chosen):
    chosen = chosen[: len(proposals) + 1]
    count = accepted_length([9, *proposals], chosen)
    assert proposals[: count - 1] == chosen[: count - 1]
    assert count == len(chosen) or proposals[count - 1] != chosen[count - 1]


def passes(model, draft, seed):
    batch, stream = Batch(model, 1, draft), Stream([1], SampleConfig(200, seed=seed))
    batch.add(stream)
    for count in range(1, 1000):
        batch.step()
        if stream.complete:
            return count, stream.ids
    raise AssertionError


def test_a_warm_draft_saves_passes_and_changes_no_text(monkeypatch):
    monkeypatch.setattr(warm_up, "TEXTS", 20)
    monkeypatch.setattr(warm_up, "CHARS", 100)
    model, draft = make_model("today", 5), NgramDraft(5)
    assert len(list(warm_up.warm_up_draft(model, draft))) >= 100
    for seed in (100, 101):
        warm, text = passes(model, draft, seed)
        monkeypatch.setattr(batches, "MAX_ROWS_WITH_DRAFT", 1)
        plain, same = passes(model, NgramDraft(5), seed)
        monkeypatch.undo()
        assert warm < 0.8 * plain
        assert text == same
