"""The model card, read by huggingface_hub as the Hub reads it."""

import math

import pytest
from huggingface_hub import ModelCard
from small_models import make_model

from charlm.data.perplexity import letters, unsure_between
from charlm.models.checkpoint import count_parameters, load_description
from charlm.runs.card import CARD_FILE, repo_card
from charlm.runs.log import read_events


def test_a_new_run_has_a_card_before_its_first_step(model_directory):
    text = (model_directory / CARD_FILE).read_text()
    card = ModelCard(text)
    assert card.data.license == "unknown"
    assert card.data.library_name == "charlm"
    assert card.data.tags == ["charlm", "character-level", "gpt"]
    assert card.data.eval_results is None
    assert card.text.strip().startswith("# small\n")
    assert 'charlm.load("checkpoints/small")' in text
    assert "| `n_layer` | 2 |" in text
    assert "## Loss" not in text


def test_a_save_updates_the_losses(trained):
    directory = trained / "small-gpt"
    text, events = (directory / CARD_FILE).read_text(), read_events(directory)[0]
    evaluations = [event for event in events if event["event"] == "eval"]
    (result,) = ModelCard(text).data.eval_results
    assert result.metric_value == round(evaluations[-1]["val_loss"], 4)
    assert result.dataset_name == "small.txt"
    for e in evaluations:
        row = f"| {e['step']} | {e['train_loss']:.4f} | {e['val_loss']:.4f} |"
        assert f"{row} {letters(e['val_loss'])} |" in text
    vocab_size = load_description(directory).model.vocab_size
    assert f": it is {unsure_between(evaluations[-1]['val_loss'], vocab_size)}.\n" in text
    assert f"a uniform distribution {math.log(vocab_size):.4f} ({vocab_size} letters)" in text
    assert f"{count_parameters(directory):,} parameters" in text
    assert "python train.py --resume --name small-gpt --push" in text
    assert str(directory) not in text


def test_a_repository_s_card_names_it_and_says_how_transformers_loads_it(trained):
    directory = trained / "small-gpt"
    description, events = load_description(directory), read_events(directory)[0]
    card = ModelCard(repo_card("ann/mine", description, 1234, events, "The "))
    assert (card.data.library_name, card.data.model_name) == ("transformers", "mine")
    assert 'charlm.load("ann/mine")' in card.text
    assert 'pipeline("text-generation", "ann/mine")' in card.text
    assert "1,234 parameters" in card.text
    card = ModelCard(repo_card("ann/mine", description, 1234, events, "The ", "it is a table"))
    assert card.data.library_name == "charlm"
    assert "transformers cannot load it: it is a table." in card.text


@pytest.mark.parametrize("name", ["# a: 'b' \"c\" [d] {e}.txt", "née 😀\\.txt"])
def test_the_metadata_may_contain_any_name(trained, name):
    directory = trained / "small-gpt"
    description, events = load_description(directory), read_events(directory)[0]
    description.data["name"] = name
    (result,) = ModelCard(repo_card("ann/mine", description, 1, events, "The ")).data.eval_results
    assert result.dataset_name == name


def test_parameters_are_counted_without_loading_them(model_directory, tokenizer):
    model = make_model("today", tokenizer.vocab_size)
    assert count_parameters(model_directory) == sum(p.numel() for p in model.parameters())
