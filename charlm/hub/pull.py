"""Pull models from the Hub at exact revisions, and find cached ones without a network."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from charlm.files import write_atomically
from charlm.hub.client import GATED, REPO_FILES, HubError, describe_error, is_repo_id
from charlm.models import checkpoint

METADATA_TIMEOUT = 5  # seconds to wait for a response without a file
REQUIRED = {checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.TOKENIZER}
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


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


def pull(repo_id, revision=None, max_bytes=None, public=False):
    """Return the PulledModel of a repository, downloading the files that are not in the cache.

    A cached commit is used without a request. If the Hub cannot be reached, the latest cached
    revision is used, with a notice. `max_bytes`: largest total size to download; None: any.
    `public`: send no token, ignore the cache, and refuse repositories that are gated. Raises
    HubError.
    """
    if not is_repo_id(repo_id):
        raise HubError(f"{repo_id!r} is neither a model directory nor a Hub repository's user/name")
    cached = None if public else find_cached(repo_id, revision)
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
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
    check_files(repo_id, set(sizes))
    files = sorted(REPO_FILES & sizes.keys())
    total = sum(sizes[file] for file in files)
    if max_bytes is not None and total > max_bytes:
        raise HubError(f"{repo_id} has {total:,} bytes; at most {max_bytes:,} are fetched here")
    pulled = download(repo_id, info.sha, files, public)
    cache_revision(pulled, revision or "main")
    return replace(pulled, updated=info.last_modified.timestamp()) if info.last_modified else pulled


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


def find_cached(repo_id, revision=None):
    """Return the PulledModel in the cache, without a request; None if it is missing or partial."""
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
    return PulledModel(directory, repo_id, directory.name) if complete else None
