"""A run on the Hub: pushed in one commit, once or at every few evaluations while it goes on."""

import contextlib
import json
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import safetensors.torch
from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import get_session, validate_repo_id

from charlm import checkpoint, runlog
from charlm.config import CharlmError
from charlm.convert import ConvertError, to_transformers
from charlm.hub.card import model_card

SECONDS = 60  # of silence after which the Hub counts as gone; by itself the client waits for ever
RETRIES = (10, 30, 60, 120)  # seconds between tries of a push in the background
CARD, WRAPPER = "README.md", "tokenizer_config.json"
GATED = "it is gated: ask for access on its page, then log in"
FILES = {
    *(checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.TOKENIZER, WRAPPER),
    *(runlog.FILE, CARD),
}


class HubError(CharlmError):
    """What the Hub did not do; the message says why, and never holds a token."""


def why(error):
    """What went wrong between us and the Hub, in words."""
    if isinstance(error, LocalTokenNotFoundError):
        return "nobody is logged in: run `hf auth login`, or set HF_TOKEN"
    if isinstance(error, HFValidationError):
        return f"that cannot be a repository's name: {str(error).splitlines()[0]}"
    # an upload that failed, and a download that never began
    if isinstance(error, (RuntimeError, LocalEntryNotFoundError)) and error.__cause__:
        return why(error.__cause__)
    if isinstance(error, GatedRepoError):
        return GATED
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, HfHubHTTPError) and status:
        said = {
            401: "the token is not valid: run `hf auth login`, or set HF_TOKEN",
            403: "the token may not do that: it needs write access there",
            429: "the Hub was asked too often; try again in some minutes",
        }
        return said.get(status, f"the Hub answered {status}")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the Hub cannot be reached ({type(error).__name__})"


def check_login(repo_id=""):
    """Raise CharlmError if a push is bound to fail: nobody is logged in, or no such name can be."""
    if not get_token():
        raise CharlmError(f"cannot push: {why(LocalTokenNotFoundError())}")
    if repo_id:
        try:
            validate_repo_id(repo_id)
        except HFValidationError as error:
            raise CharlmError(f"cannot push: {why(error)}") from None


def push(directory, repo_id=None, private=None, message=None):
    """Push a model directory to the Hub in one commit; returns the address of the repository.

    `repo_id`: "user/name"; None: the logged-in user and the directory's name. The repository is
    made if it is not there, private if that is asked. Raises HubError, or CharlmError if the
    directory is not whole.
    """
    directory = Path(directory)
    with tempfile.TemporaryDirectory() as folder, told_as_hub_error(f"cannot push {directory}"):
        get_session().timeout = SECONDS
        api = HfApi()
        repo_id = repo_id or f"{api.whoami(cache=True)['name']}/{directory.name}"
        stage(directory, Path(folder), repo_id)
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        # not upload_folder, which may make several commits of it
        files = [CommitOperationAdd(path.name, path) for path in Path(folder).iterdir()]
        api.create_commit(url.repo_id, files, commit_message=message or f"Push {directory.name}")
        return str(url)


@contextlib.contextmanager
def told_as_hub_error(what):
    try:
        yield
    except CharlmError:
        raise
    except Exception as error:  # the client raises what its HTTP library does, too
        raise HubError(f"{what}: {why(error)}") from None


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
        self._thread.join(timeout=SECONDS)

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
