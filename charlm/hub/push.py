"""Push a model directory to the Hub, in one commit."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
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
from charlm.models.snapshots import snapshot_file, snapshot_steps, step_of_file
from charlm.models.transformers_format import ConvertError, convert_if_possible, to_transformers
from charlm.runs.card import CARD_FILE, example_prompt, repo_card
from charlm.runs.log import LOG_FILE, read_events

RETRY_WAITS = (10, 30, 60, 120)  # seconds between the attempts of a push


def push(directory, repo_id=None, private=None, message=None, snapshots=False):
    """Push a model directory to the Hub in one commit; returns the URL of the repository.

    `repo_id`: "user/name"; None: the logged-in user and the directory's name. The repository is
    created if it does not exist, with the visibility `private`. `snapshots`: push the run's
    snapshots, too. Other snapshots in the repository are deleted, since they may be another run's.
    Raises HubError, or CharlmError if the directory is damaged.
    """
    directory = Path(directory)
    with tempfile.TemporaryDirectory() as folder, raise_as_hub_error(f"cannot push {directory}"):
        get_session().timeout = TIMEOUT
        api = HfApi()
        repo_id = repo_id or f"{api.whoami(cache=True)['name']}/{directory.name}"
        export_model(directory, Path(folder), repo_id, snapshots)
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        # upload_folder might make several commits
        paths = [path for path in Path(folder).rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path for path in paths}
        operations = [CommitOperationAdd(name, path) for name, path in files.items()]
        there = (file for file in api.list_repo_files(url.repo_id) if is_snapshot(file))
        operations += [CommitOperationDelete(file) for file in there if file not in files]
        message = message or f"Push {directory.name}"
        api.create_commit(url.repo_id, operations, commit_message=message)
        return str(url)


def is_snapshot(file):
    """Return whether a path in a repository is that of a snapshot."""
    return step_of_file(file) is not None


def export_model(directory, folder, repo_id, snapshots=False):
    """Write the files of a repository, REPO_FILES, to `folder` from a model directory.

    The weights and config are in transformers' format if it has such a network. `snapshots`: export
    the snapshots, too. The resume state is not exported.
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
    for step in snapshot_steps(directory) if snapshots else ():
        export_snapshot(directory, folder, snapshot_file(step), description)


def export_snapshot(directory, folder, file, description):
    """Write the snapshot of a model directory to `folder`, in the format of its weights there."""
    tensors = read_tensors(directory / file)
    if not description.model_type:
        tensors = convert_if_possible(description.kind, description.model, tensors)[2]
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(serialize(tensors))
