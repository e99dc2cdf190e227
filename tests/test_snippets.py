"""The Python in the README and in model cards runs as it stands, for every preset and alphabet."""

import re
from dataclasses import replace

import huggingface_hub
import pytest
from programs import REPOSITORY

from charlm.data.tokenizer import CharTokenizer
from charlm.hub.push import export_model
from charlm.models.checkpoint import Description
from charlm.presets import PRESETS
from charlm.runs.card import CARD_FILE
from charlm.runs.directory import create_run_directory
from charlm.runs.log import LOG_FILE

ALPHABETS = {
    "English": "The quick brown fox\nROMEO:",
    "Chinese": "天地玄黃宇宙洪荒\n",
    "digits": "0123456789",
    "quotes": "\"'\\\n",
    "one character": "x",
}
BLOCK = re.compile(r"(?:^    .*\n|^\n)+", re.MULTILINE)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def python_blocks(markdown, part):
    """Return the indented blocks of a text that contain `part`, as one script."""
    blocks = [re.sub("^    ", "", block, flags=re.M) for block in BLOCK.findall(markdown)]
    found = "\n".join(block for block in blocks if part in block)
    assert found
    return found


def make_run(folder, preset, alphabet, **changes):
    """Make a run directory in checkpoints/ of a small model with a preset's network."""
    tokenizer, chosen = CharTokenizer.fit(alphabet), PRESETS[preset]
    if chosen.kind == "gpt":
        changes = {"n_layer": 4, "n_head": 2, "n_embd": 64} | changes
    model_config = replace(chosen.model, vocab_size=tokenizer.vocab_size, **changes)
    data = {"name": "text.txt", "sha256": "0" * 64}
    description = Description(chosen.kind, model_config, chosen.training, data)
    directory = folder / "checkpoints" / preset
    directory.parent.mkdir(exist_ok=True)
    create_run_directory(directory, description, description.build(), tokenizer)
    (directory / LOG_FILE).touch()
    return directory


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_python_of_a_model_card_runs(tmp_path, monkeypatch, preset, alphabet):
    directory = make_run(tmp_path, preset, ALPHABETS[alphabet])
    monkeypatch.chdir(tmp_path)
    exec(python_blocks((directory / CARD_FILE).read_text(), "charlm.load"), {})
    repo = tmp_path / "repo"
    repo.mkdir()
    export_model(directory, repo, "ann/model")
    card = (repo / CARD_FILE).read_text()
    exec(python_blocks(card, "charlm.load").replace('"ann/model"', repr(str(repo))), {})
    if "transformers cannot load it" not in card:
        exec(python_blocks(card, "pipeline(").replace('"ann/model"', repr(str(repo))), {})
    else:
        assert preset == "bigram"


@pytest.mark.parametrize("block_size", [1, 2, 3, 5])
def test_the_python_of_a_card_fits_a_small_context(tmp_path, block_size):
    directory = make_run(tmp_path, "gpt", ALPHABETS["English"], block_size=block_size)
    repo = tmp_path / "repo"
    repo.mkdir()
    export_model(directory, repo, "ann/model")
    card = (repo / CARD_FILE).read_text()
    exec(python_blocks(card, "pipeline(").replace('"ann/model"', repr(str(repo))), {})


@pytest.mark.parametrize("preset", ["gpt", "fast", "best"])
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, preset):
    directory = make_run(tmp_path, preset, ALPHABETS["English"])
    repo = tmp_path / "repo"
    repo.mkdir()
    export_model(directory, repo, "you/my-model")
    monkeypatch.chdir(REPOSITORY)
    readme = (REPOSITORY / "README.md").read_text()
    exec(
        "import charlm\n"
        + python_blocks(readme, 'my-model", revision').replace('"you/my-model"', repr(str(repo))),
        {},
    )
    exec(python_blocks(readme, "pipeline(").replace('"you/my-model"', repr(str(repo))), {})
    exec(python_blocks(readme, 'charlm.load("checkpoints/shakespeare")'), {})
