"""The Space: this repository's page, served by Hugging Face."""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard
from huggingface_hub.utils import filter_repo_objects, get_session

from charlm.errors import CharlmError
from charlm.hub.client import CARD, TIMEOUT, check_login, is_repo_id, raise_as_hub_error
from charlm.models import checkpoint

BUNDLED = ("bigram", "gpt", "shakespeare")
PARTS = (  # what a Space needs of the repository
    *("app.py", "train.py", "requirements.txt", "LICENSE", "charlm/*"),
    *(f"checkpoints/{name}/*" for name in BUNDLED),
)
LEFT_OUT = ("*/__pycache__/*", "*/resume/*", "*/.*")
KEPT = {CARD, ".gitattributes"}


def deploy(repository, space_id=None, model=None, private=None):
    """Make a Space that serves this page, or update it in one commit; returns its address.

    `repository`: the directory that app.py lies in. `space_id`: "user/name"; None: the logged-in
    user's `charlm`. `model`: what it starts with, a bundled model's directory or a Hub repository;
    None: the best bundled one. Raises CharlmError.
    """
    repository = Path(repository)
    model = started_with(repository, model)
    check_login(space_id)
    with raise_as_hub_error("cannot deploy"):
        get_session().timeout = TIMEOUT
        api = HfApi()
        space_id = space_id or f"{api.whoami(cache=True)['name']}/charlm"
        url = api.create_repo(
            space_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
        )
        space = {"repo_id": url.repo_id, "repo_type": "space"}
        api.add_space_variable(url.repo_id, "CHARLM_MODEL", model)
        files = {path: repository / path for path in parts(repository)}
        adds = [CommitOperationAdd(path, file) for path, file in files.items()]
        adds.append(CommitOperationAdd(CARD, front_page(repository, model).encode()))
        gone = set(api.list_repo_files(**space)) - files.keys() - KEPT
        deletes = [CommitOperationDelete(path) for path in sorted(gone)]
        api.create_commit(**space, operations=adds + deletes, commit_message="Deploy charlm")
        return str(url)


def started_with(repository, model):
    """CHARLM_MODEL for a Space: a Hub repository, or a bundled model's place in it."""
    bundled = {(repository / "checkpoints" / name).resolve(): name for name in BUNDLED}
    path = Path(model or repository / "checkpoints" / "shakespeare").resolve()
    if path in bundled and checkpoint.is_model_directory(path):
        return f"checkpoints/{bundled[path]}"
    if Path(model).exists():
        raise CharlmError(f"a Space cannot start with {model}; push it, and give its user/repo")
    if not is_repo_id(model):
        raise CharlmError(f"{model!r} is neither a bundled model nor a Hub repository's user/name")
    return model


def parts(repository):
    """The paths of the files that a Space needs, relative to `repository`."""
    files = [p for pattern in PARTS for p in matches(repository, pattern)]
    return sorted(filter_repo_objects(files, ignore_patterns=LEFT_OUT))


def matches(repository, pattern):
    """The files that a pattern names; a folder's whole content for "folder/*"."""
    found = repository.glob(pattern.replace("/*", "/**/*"))
    return [path.relative_to(repository).as_posix() for path in found if path.is_file()]


def front_page(repository, model):
    """The README whose front matter tells Hugging Face how to serve it, and with which model."""
    card = RepoCard((repository / CARD).read_text(encoding="utf-8"), ignore_metadata_errors=True)
    if not model.startswith("checkpoints/"):
        card.data.models = [model]
        card.data.preload_from_hub = [model]
    return str(card)
