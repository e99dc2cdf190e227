"""Pull models from the Hub at exact revisions, and find cached ones without a network."""

import contextlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from huggingface_hub import HfApi, constants, get_token, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import tqdm

from charlm.console import warn_once
from charlm.errors import CharlmError, name_files
from charlm.files import write_atomically
from charlm.hub import cache, snapshots
from charlm.hub.client import (
    GATED,
    METADATA_TIMEOUT,
    REPO_FILES,
    HubError,
    describe_error,
    status_of,
)
from charlm.models import checkpoint
from charlm.models.snapshots import snapshot_steps
from charlm.runs.card import CARD_FILE
from charlm.runs.log import LOG_FILE

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
    snapshots: tuple = ()  # their steps; each file is fetched when it is used, see hub.snapshots


def disable_telemetry():
    """Send no usage data from huggingface_hub, nor from gradio_client, which uses its setting."""
    constants.HF_HUB_DISABLE_TELEMETRY = True


@dataclass
class Download:
    """The progress of a download, which other threads read."""

    size: int = 0  # bytes in all; 0 until the Hub has stated it
    done: int = 0  # bytes
    began: float = field(default_factory=time.monotonic)


def pull(
    repo_id, revision=None, max_bytes=None, public=False, check=None, refused=None, progress=None
):
    """Return the PulledModel of a repository, downloading the files that are not in the cache.

    A cached commit is used without a request. If the Hub cannot be reached, the latest cached
    revision is used, with a notice. `max_bytes`: largest total size to download; None: any.
    `public`: send no token, ignore the cache, and refuse repositories that are gated. `check`,
    `refused`: see `download_checked`. `progress`: a Download to update. Raises HubError.
    """
    progress = progress or Download()
    cached = None if public else find_cached(repo_id, revision, check)
    if cached and cached.revision == revision:
        return cached
    try:
        info, token = fetch_info(repo_id, revision, False if public else None)
    except RevisionNotFoundError:
        raise HubError(f"{repo_id} has no revision {revision}") from None
    except RepositoryNotFoundError as error:
        raise HubError(f"cannot fetch {repo_id}: {describe_error(error)}") from None
    except Exception as error:  # the Hub did not answer
        if cached:
            notice = f"{describe_error(error)}; this is {repo_id} as it was fetched last"
            return replace(cached, notice=notice)
        raise HubError(f"cannot fetch {repo_id}: {describe_error(error)}") from None
    if public and info.gated:
        raise HubError(f"cannot fetch {repo_id}: {GATED}")
    sizes = stated_sizes(repo_id, info, max_bytes)
    progress.size = sum(sizes.values())
    if check:
        pulled = download_checked(repo_id, info.sha, sizes, token, check, refused, progress)
    else:
        pulled = download(repo_id, info.sha, sizes, token, progress)
    cache_revision(pulled, revision or "main")
    updated = info.last_modified.timestamp() if info.last_modified else 0.0
    return replace(pulled, updated=updated, snapshots=snapshots.stated_steps(info.siblings or ()))


def fetch_info(repo_id, revision, token):
    """Return (the ModelInfo of a revision, the token to fetch its files with).

    `token`: False for none, None for that of the login. A login that the Hub does not accept, as
    after it expired, is left out, with a warning. Raises what huggingface_hub raises.
    """
    options = {"revision": revision, "timeout": METADATA_TIMEOUT, "files_metadata": True}
    try:
        return HfApi(token=token).model_info(repo_id, **options), token
    except HfHubHTTPError as error:
        if status_of(error) != 401 or token is False or not get_token():
            raise
        try:
            info = HfApi(token=False).model_info(repo_id, **options)
        except Exception:
            raise error from None
        warn_once(
            "the Hub does not accept the token, which may have expired: public models are fetched"
            " without it; log in again with `hf auth login`, or unset HF_TOKEN"
        )
        return info, False


def stated_sizes(repo_id, info, max_bytes):
    """Return the bytes of each file to download, as the Hub states them; raises HubError."""
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
    check_files(repo_id, set(sizes))
    sizes = {file: sizes[file] for file in sorted(REPO_FILES & sizes.keys())}
    total = sum(sizes.values())
    if max_bytes is not None and total > max_bytes:
        raise HubError(f"{repo_id} has {total:,} bytes; at most {max_bytes:,} are fetched here")
    return sizes


def download_checked(repo_id, sha, sizes, token, check, refused, progress):
    """Return the PulledModel of a commit that a page accepts.

    `sizes`: bytes of each file, as the Hub states them. `token`: see fetch_info. `progress`: a
    Download to update.
    `check(directory, sizes)` raises CharlmError if the page refuses the model that config.json
    describes; only then the other files are downloaded and checked. A refused commit is deleted,
    unless it was in the cache before, and remembered in `refused`, (repo_id, sha) -> message.
    Raises HubError.
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
        pulled = download(repo_id, sha, [checkpoint.CONFIG], token)
        check(pulled.directory, sizes)
        download(repo_id, sha, sizes, token, progress)
        checkpoint.load(pulled.directory)
    except HubError:  # the download failed
        raise
    except OSError as error:
        raise HubError(f"cannot store {repo_id}: {error.strerror}") from None
    except CharlmError as error:
        if not had_it:
            with contextlib.suppress(OSError):  # limit_size deletes it later
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


def download(repo_id, sha, files, token=None, progress=None):
    """Return the PulledModel of a commit, downloading those of its files that are not cached.

    `progress`: a Download to update.
    """

    class Bar(tqdm):
        """Counts the bytes of a file instead of drawing a bar."""

        def __init__(self, *args, **options):
            super().__init__(*args, **options | {"disable": True})

        def update(self, n=1):
            progress.done += n

    try:
        for file in files:  # Ctrl-C would have to wait for the threads of snapshot_download
            path = hf_hub_download(
                repo_id,
                file,
                revision=sha,
                etag_timeout=METADATA_TIMEOUT,
                token=token,
                tqdm_class=Bar if progress else None,
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
    if not complete:
        return None
    return PulledModel(directory, repo_id, directory.name, snapshots=snapshot_steps(directory))
