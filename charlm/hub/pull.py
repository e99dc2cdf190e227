"""Pull models from the Hub at exact revisions, and find cached ones without a network."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from charlm.errors import CharlmError, name_files, quote
from charlm.files import write_atomically
from charlm.hub import cache
from charlm.hub.client import GATED, REPO_FILES, HubError, describe_error, is_repo_id
from charlm.models import checkpoint
from charlm.runs.card import CARD_FILE
from charlm.runs.log import LOG_FILE

METADATA_TIMEOUT = 5  # seconds to wait for a response without a file
REQUIRED = {checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.TOKENIZER}
# largest sizes of the files that are read whole; the weights have a limit of their own
MAX_FILE_BYTES = {
    checkpoint.CONFIG: 2**17,
    checkpoint.TOKENIZER: 2**21,
    checkpoint.TOKENIZER_CONFIG: 2**17,
    CARD_FILE: 2**21,
    LOG_FILE: 4_000_000,
}
MAX_REFUSED = 1000  # commits remembered
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


class RefusedError(HubError):
    """A commit that the page does not accept; the message says why."""

    def __init__(self, message, sha):
        super().__init__(message, permanent=True)
        self.sha = sha


@dataclass(frozen=True)
class PulledModel:
    """A model directory in the Hub's cache."""

    directory: Path
    repo_id: str
    revision: str  # the commit, 40 hex digits
    notice: str = ""  # why it may not be the latest revision; "" if it is
    updated: float = 0.0  # Unix time of the repository's last commit; 0 if unknown


def disable_telemetry():
    """Send no usage data from huggingface_hub, nor from gradio_client, which uses its setting."""
    constants.HF_HUB_DISABLE_TELEMETRY = True


def load(source, revision=None):
    """Load a model directory, or "user/repo" from the Hub; returns the model and its tokenizer.

    The model is fp32, on the CPU, in evaluation mode. `revision`: a branch, tag or commit on the
    Hub. Raises CharlmError.
    """
    if Path(source).is_dir():
        if revision:
            raise HubError(f"{source} is a directory, which has no revision {revision}")
        return checkpoint.load(source)
    return checkpoint.load(pull(str(source), revision).directory)


def pull(repo_id, revision=None, max_bytes=None, public=False, check=None, refused=None):
    """Return the PulledModel of a repository, downloading the files that are not in the cache.

    A cached commit is used without a request. If the Hub cannot be reached, the latest cached
    revision is used, with a notice. `max_bytes`: largest total size to download; None: any.
    `public`: send no token, ignore the cache, and refuse repositories that are gated. `check`,
    `refused`: see `download_checked`. Raises HubError.
    """
    if not is_repo_id(repo_id):
        raise HubError(
            f"{quote(repo_id)} is neither a model directory nor a Hub repository's user/name"
        )
    cached = None if public else find_cached(repo_id, revision, check)
    if cached and cached.revision == revision:
        return cached
    try:
        info = HfApi(token=False if public else None).model_info(
            repo_id, revision=revision, timeout=METADATA_TIMEOUT, files_metadata=True
        )
    except RevisionNotFoundError:
        raise HubError(f"{repo_id} has no revision {revision}") from None
    except RepositoryNotFoundError as error:
        raise HubError(f"cannot fetch {repo_id}: {describe_error(error)}") from None
    except Exception as error:  # the Hub did not answer
        if cached:
            notice = f"{describe_error(error)}; this is {repo_id} as it was fetched last"
            return PulledModel(cached.directory, repo_id, cached.revision, notice)
        raise HubError(f"cannot fetch {repo_id}: {describe_error(error)}") from None
    if public and info.gated:
        raise HubError(f"cannot fetch {repo_id}: {GATED}")
    sizes = stated_sizes(repo_id, info, max_bytes)
    if check:
        pulled = download_checked(repo_id, info.sha, sizes, public, check, refused)
    else:
        pulled = download(repo_id, info.sha, sizes, public)
    cache_revision(pulled, revision or "main")
    return replace(pulled, updated=info.last_modified.timestamp()) if info.last_modified else pulled


def stated_sizes(repo_id, info, max_bytes):
    """Return the bytes of each file to download, as the Hub states them; raises HubError."""
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
    check_files(repo_id, set(sizes))
    sizes = {file: sizes[file] for file in sorted(REPO_FILES & sizes.keys())}
    total = sum(sizes.values())
    if max_bytes is not None and total > max_bytes:
        raise HubError(f"{repo_id} has {total:,} bytes; at most {max_bytes:,} are fetched here")
    return sizes


def download_checked(repo_id, sha, sizes, public, check, refused):
    """Return the PulledModel of a commit that a page accepts.

    `sizes`: bytes of each file, as the Hub states them. `check(directory, sizes)` raises
    CharlmError if the page refuses the model that config.json describes; only then the other files
    are downloaded and checked. A refused commit is deleted, unless it was in the cache before, and
    remembered in `refused`, (repo_id, sha) -> message. Raises HubError.
    """
    if message := refused.get((repo_id, sha)):
        raise RefusedError(message, sha)
    for file, most in MAX_FILE_BYTES.items():
        if sizes.get(file, 0) > most:
            message = f"{file} of {repo_id} has {sizes[file]:,} bytes; at most {most:,} are fetched"
            raise RefusedError(message, sha)
    had_it = cache.has_revision(repo_id, sha)
    try:
        cache.mark(repo_id)
        pulled = download(repo_id, sha, [checkpoint.CONFIG], public)
        check(pulled.directory, sizes)
        download(repo_id, sha, sizes, public)
        checkpoint.load(pulled.directory)
    except HubError:  # the download failed
        raise
    except OSError as error:
        raise HubError(f"cannot store {repo_id}: {error.strerror}") from None
    except CharlmError as error:
        if not had_it:
            cache.delete_revision(cache.repo_directory(repo_id), sha)
        if len(refused) >= MAX_REFUSED:
            refused.clear()
        message = name_files(str(error), pulled.directory, repo_id)
        message = message if repo_id in message else f"cannot use {repo_id} here: {message}"
        refused[repo_id, sha] = message
        raise RefusedError(message, sha) from None
    return pulled


def check_files(repo_id, files):
    """Raise HubError unless a repository with these files can be a model directory."""
    if missing := sorted(REQUIRED - files):
        pickles = [file for file in files if file.endswith(PICKLES)]
        if checkpoint.WEIGHTS in missing and pickles:
            raise HubError(f"{repo_id} has pickled weights only ({pickles[0]}), which can run code")
        raise HubError(f"{repo_id} is not a charlm model: it has no {', '.join(missing)}")


def download(repo_id, sha, files, public=False):
    """Return the PulledModel of a commit, downloading those of its files that are not cached."""
    try:
        for file in files:  # Ctrl-C would have to wait for the threads of snapshot_download
            path = hf_hub_download(
                repo_id,
                file,
                revision=sha,
                etag_timeout=METADATA_TIMEOUT,
                token=False if public else None,
            )
    except Exception as error:
        raise HubError(f"cannot fetch {repo_id} whole: {describe_error(error)}") from None
    return PulledModel(Path(path).parent, repo_id, sha)


def cache_revision(pulled, revision):
    """Store which commit a branch or tag points to in the Hub's cache, for `find_cached`."""
    ref = pulled.directory.parent.parent / "refs" / revision
    with contextlib.suppress(OSError):  # a read-only cache: works without the entry
        if revision != pulled.revision:
            write_atomically(ref, pulled.revision.encode())


def find_cached(repo_id, revision=None, check=None):
    """Return the PulledModel in the cache, without a request.

    None if it is missing, partial, or refused by `check`: see `download_checked`.
    """
    try:
        directory = Path(
            snapshot_download(
                repo_id,
                revision=revision,
                allow_patterns=sorted(REPO_FILES),
                local_files_only=True,
            )
        )
    except (OSError, ValueError):
        return None
    complete = all((directory / name).exists() for name in REQUIRED)
    try:
        if complete and check:
            check(directory, None)
    except CharlmError:
        return None
    return PulledModel(directory, repo_id, directory.name) if complete else None
