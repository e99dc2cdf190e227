"""A run on the Hub: pushed in one commit, once or at every few evaluations while it goes on."""

import json
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import safetensors.torch
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import get_session

from charlm.hub.card import model_card
from charlm.hub.client import CARD, TIMEOUT, WRAPPER, raise_as_hub_error
from charlm.models import checkpoint
from charlm.models.transformers_format import ConvertError, to_transformers
from charlm.runs import log as runlog

RETRIES = (10, 30, 60, 120)  # seconds between tries of a push in the background


def push(directory, repo_id=None, private=None, message=None):
    """Push a model directory to the Hub in one commit; returns the address of the repository.

    `repo_id`: "user/name"; None: the logged-in user and the directory's name. The repository is
    made if it is not there, private if that is asked. Raises HubError, or CharlmError if the
    directory is not whole.
    """
    directory = Path(directory)
    with tempfile.TemporaryDirectory() as folder, raise_as_hub_error(f"cannot push {directory}"):
        get_session().timeout = TIMEOUT
        api = HfApi()
        repo_id = repo_id or f"{api.whoami(cache=True)['name']}/{directory.name}"
        stage(directory, Path(folder), repo_id)
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        # not upload_folder, which may make several commits of it
        files = [CommitOperationAdd(path.name, path) for path in Path(folder).iterdir()]
        api.create_commit(url.repo_id, files, commit_message=message or f"Push {directory.name}")
        return str(url)


def stage(directory, folder, repo_id):
    """Write to `folder` what a repository holds of a model directory.

    The weights are under transformers' names where it knows the network, the rest is as it is. No
    resume state, and nothing but what is in FILES.
    """
    description = checkpoint.load_description(directory)
    tensors = checkpoint.read_tensors(directory / checkpoint.WEIGHTS)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    events, _ = runlog.read(directory)
    reason = ""
    if not description.model_type:
        try:
            config, fields, tensors = to_transformers(description.kind, description.model, tensors)
            exported = replace(description, model=config)
            parts = json.loads(exported.to_json()) | fields
        except ConvertError as error:
            reason, parts = str(error), json.loads(description.to_json())
        config_json = json.dumps(parts, indent=2) + "\n"
    else:  # it came from the Hub
        config_json = (directory / checkpoint.CONFIG).read_text(encoding="utf-8")
    (folder / checkpoint.CONFIG).write_text(config_json, encoding="utf-8")
    safetensors.torch.save_file(tensors, folder / checkpoint.WEIGHTS, {"format": "pt"})
    for name in (checkpoint.TOKENIZER, WRAPPER, runlog.FILE):
        shutil.copyfile(directory / name, folder / name)
    model_card(repo_id, description, parameters, events, reason).save(folder / CARD)


class Pusher:
    """Pushes a run in the background while it goes on. A context manager; a daemon thread.

    `tell(message)` is called from that thread when a push failed. Pushes asked for while one is
    under way become one.
    """

    def __init__(self, directory, repo_id, private, tell):
        self._push = lambda message: push(directory, repo_id, private, message)
        self._tell = tell
        self._asked, self._closed = threading.Event(), threading.Event()
        self._message = ""
        self._thread = threading.Thread(target=self._go, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        """Wait for what is under way; whoever ends the run pushes it once more, in sight."""
        self._closed.set()
        self._asked.set()
        self._thread.join(timeout=TIMEOUT)

    def ask(self, message):
        """Push what is on the disk by the time its turn comes."""
        self._message = message
        self._asked.set()

    def _go(self):
        failed = 0
        while self._asked.wait() and not self._closed.is_set():
            self._asked.clear()
            try:
                self._push(self._message)
                failed = 0
            except Exception as error:
                seconds = RETRIES[min(failed, len(RETRIES) - 1)]
                failed += 1
                self._tell(f"{error}; trying again in {seconds} s")
                self._closed.wait(seconds)
                self._asked.set()
