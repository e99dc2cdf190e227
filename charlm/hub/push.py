"""Push a model directory to the Hub, in one commit."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import get_session

from charlm.hub.client import TIMEOUT, raise_as_hub_error
from charlm.models.checkpoint import (
    CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    load_description,
    load_tokenizer,
    read_tensors,
    serialize,
)
from charlm.models.transformers_format import ConvertError, to_transformers
from charlm.runs.card import CARD_FILE, example_prompt, repo_card
from charlm.runs.log import LOG_FILE, read_events

RETRY_WAITS = (10, 30, 60, 120)  # seconds between the attempts of a push


def push(directory, repo_id=None, private=None, message=None):
    """Push a model directory to the Hub in one commit; returns the URL of the repository.

    `repo_id`: "user/name"; None: the logged-in user and the directory's name. The repository is
    created if it does not exist, with the visibility `private`. Raises HubError, or CharlmError if
    the directory is damaged.
    """
    directory = Path(directory)
    with tempfile.TemporaryDirectory() as folder, raise_as_hub_error(f"cannot push {directory}"):
        get_session().timeout = TIMEOUT
        api = HfApi()
        repo_id = repo_id or f"{api.whoami(cache=True)['name']}/{directory.name}"
        export_model(directory, Path(folder), repo_id)
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        # upload_folder might make several commits
        files = [CommitOperationAdd(path.name, path) for path in Path(folder).iterdir()]
        api.create_commit(url.repo_id, files, commit_message=message or f"Push {directory.name}")
        return str(url)


def export_model(directory, folder, repo_id):
    """Write the files of a repository, REPO_FILES, to `folder` from a model directory.

    The weights and config are in transformers' format if it has such a network. The resume state
    and the snapshots are not exported.
    """
    description = load_description(directory)
    tensors = read_tensors(directory / WEIGHTS)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    events, _ = read_events(directory)
    reason = ""
    if description.model_type:  # pulled from the Hub, in transformers' format already
        config_json = (directory / CONFIG).read_text(encoding="utf-8")
    else:
        try:
            config, fields, tensors = to_transformers(description.kind, description.model, tensors)
            exported = replace(description, model=config)
            parts = json.loads(exported.to_json()) | fields
        except ConvertError as error:
            reason, parts = str(error), json.loads(description.to_json())
        config_json = json.dumps(parts, indent=2) + "\n"
    (folder / CONFIG).write_text(config_json, encoding="utf-8")
    (folder / WEIGHTS).write_bytes(serialize(tensors))
    for name in (TOKENIZER, TOKENIZER_CONFIG, LOG_FILE):
        shutil.copyfile(directory / name, folder / name)
    prompt = example_prompt(load_tokenizer(directory))
    card = repo_card(repo_id, description, parameters, events, prompt, reason)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
