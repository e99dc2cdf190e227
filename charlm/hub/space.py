"""Deploy the page of this repository as a Hugging Face Space."""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard
from huggingface_hub.utils import filter_repo_objects, get_session

from charlm.errors import CharlmError
from charlm.hub.client import TIMEOUT, check_login, is_repo_id, raise_as_hub_error
from charlm.models.checkpoint import is_model_directory

BUNDLED = ("bigram", "gpt", "shakespeare", "two-minutes")
README = "README.md"
INCLUDED = (  # the files of the repository that a Space needs, besides the README
    *("app.py", "train.py", "requirements.txt", "LICENSE", "charlm/*"),
    *(f"checkpoints/{name}/*" for name in BUNDLED),
)
EXCLUDED = ("*/__pycache__/*", "*/resume/*", "*/.*")
NEVER_DELETED = {README, ".gitattributes"}


def deploy(repository, space_id=None, model=None, private=None):
    """Create a Space that serves this page, or update it in one commit; returns its URL.

    `repository`: the directory of app.py. `space_id`: "user/name"; None: the logged-in user's
    `charlm`. `model`: the model it starts with, a bundled model's directory or a Hub repository;
    None: the best bundled one. Raises CharlmError.
    """
    repository = Path(repository)
    model = start_model(repository, model)
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
        files = {path: repository / path for path in included_files(repository)}
        adds = [CommitOperationAdd(path, file) for path, file in files.items()]
        adds.append(CommitOperationAdd(README, space_readme(repository, model).encode()))
        obsolete = set(api.list_repo_files(**space)) - files.keys() - NEVER_DELETED
        deletes = [CommitOperationDelete(path) for path in sorted(obsolete)]
        api.create_commit(**space, operations=adds + deletes, commit_message="Deploy charlm")
        return str(url)


def start_model(repository, model):
    """Return a Space's CHARLM_MODEL: a Hub repository, or a bundled model's path in the Space.

    Raises CharlmError for any other model.
    """
    bundled = {(repository / "checkpoints" / name).resolve(): name for name in BUNDLED}
    path = Path(model or repository / "checkpoints" / "shakespeare").resolve()
    if path in bundled and is_model_directory(path):
        return f"checkpoints/{bundled[path]}"
    if Path(model).exists():
        raise CharlmError(f"a Space cannot start with {model}; push it, and give its user/repo")
    if not is_repo_id(model):
        raise CharlmError(f"{model!r} is neither a bundled model nor a Hub repository's user/name")
    return model


def included_files(repository):
    """Return the paths of the files that a Space needs, relative to `repository`."""
    files = [path for pattern in INCLUDED for path in matching_files(repository, pattern)]
    return sorted(filter_repo_objects(files, ignore_patterns=EXCLUDED))


def matching_files(repository, pattern):
    """Return the files that a pattern matches; "folder/*" matches everything in the folder."""
    paths = repository.glob(pattern.replace("/*", "/**/*"))
    return [path.relative_to(repository).as_posix() for path in paths if path.is_file()]


def space_readme(repository, model):
    """Return the README, with the model added to its front matter, which configures the Space."""
    card = RepoCard((repository / README).read_text(encoding="utf-8"), ignore_metadata_errors=True)
    if not model.startswith("checkpoints/"):
        card.data.models = [model]
        card.data.preload_from_hub = [model]
    return str(card)
