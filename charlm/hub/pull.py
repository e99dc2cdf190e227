"""Models from the Hub: found, fetched at an exact revision, kept, and found again without it."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from charlm.files import write_atomically
from charlm.hub.client import FILES, GATED, HubError, is_repo_id, why
from charlm.models import checkpoint

ANSWER_TIMEOUT = 5  # that the Hub is waited for when it is asked what there is
NEEDED = {checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.TOKENIZER}
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True)
class Pulled:
    """A model directory from the Hub. `notice`: why it may not be the latest; "" if it is."""

    directory: Path
    repo_id: str
    revision: str  # the commit, 40 hex digits
    notice: str = ""
    updated: float = 0.0  # when the repository was last pushed to, in Unix time; 0 if not known


def send_no_telemetry():
    """Have huggingface_hub tell nobody what is done here, nor for gradio_client, which asks it."""
    constants.HF_HUB_DISABLE_TELEMETRY = True


def load(source, revision=None):
    """The model (fp32, on the CPU, in evaluation mode) and the tokenizer of a directory or repo.

    `source`: a model directory, or "user/repo" on the Hub; `revision`: a branch, tag or commit
    there. Raises CharlmError, saying what is wrong.
    """
    if Path(source).is_dir():
        if revision:
            raise HubError(f"{source} is a directory, which has no revision {revision}")
        return checkpoint.load(source)
    return checkpoint.load(pull(str(source), revision).directory)


def pull(repo_id, revision=None, largest=None, public=False):
    """The Pulled of a repository, fetched unless that revision is kept here already.

    An exact commit that is kept is taken without asking. Where the Hub cannot be reached, it is
    what was fetched last, with a notice. `largest`: bytes that its files may have; None takes any.
    `public`: ask as nobody, and take nothing that the Hub does not give to anybody now. Raises
    HubError.
    """
    if not is_repo_id(repo_id):
        raise HubError(f"{repo_id!r} is neither a model directory nor a Hub repository's user/name")
    kept = None if public else cached(repo_id, revision)
    if kept and kept.revision == revision:
        return kept
    try:
        info = HfApi(token=False if public else None).model_info(
            repo_id, revision=revision, timeout=ANSWER_TIMEOUT, files_metadata=True
        )
    except RevisionNotFoundError:
        raise HubError(f"{repo_id} has no revision {revision}") from None
    except RepositoryNotFoundError as error:
        raise HubError(f"cannot fetch {repo_id}: {why(error)}") from None
    except Exception as error:  # whatever keeps the Hub from answering
        if kept:
            notice = f"{why(error)}; this is {repo_id} as it was fetched last"
            return Pulled(kept.directory, repo_id, kept.revision, notice)
        raise HubError(f"cannot fetch {repo_id}: {why(error)}") from None
    if public and info.gated:
        raise HubError(f"cannot fetch {repo_id}: {GATED}")
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
    check_files(repo_id, set(sizes))
    files = sorted(FILES & sizes.keys())
    total = sum(sizes[file] for file in files)
    if largest is not None and total > largest:
        raise HubError(f"{repo_id} has {total:,} bytes; at most {largest:,} are fetched here")
    found = fetch(repo_id, info.sha, files, public)
    remember(found, revision or "main")
    return replace(found, updated=info.last_modified.timestamp()) if info.last_modified else found


def check_files(repo_id, files):
    """Raise HubError unless a repository with these files can be a model directory."""
    if missing := sorted(NEEDED - files):
        pickles = [file for file in files if file.endswith(PICKLES)]
        if checkpoint.WEIGHTS in missing and pickles:
            raise HubError(f"{repo_id} has pickled weights only ({pickles[0]}), which can run code")
        raise HubError(f"{repo_id} is not a charlm model: it has no {', '.join(missing)}")


def fetch(repo_id, sha, files, public=False):
    """The Pulled of an exact revision, of which those files are fetched that are not kept here."""
    try:
        for file in files:  # not snapshot_download, for whose threads Ctrl-C would have to wait
            path = hf_hub_download(
                repo_id,
                file,
                revision=sha,
                etag_timeout=ANSWER_TIMEOUT,
                token=False if public else None,
            )
    except Exception as error:
        raise HubError(f"cannot fetch {repo_id} whole: {why(error)}") from None
    return Pulled(Path(path).parent, repo_id, sha)


def remember(pulled, revision):
    """Note which commit a branch or tag is at, where the Hub's cache keeps that, for `cached`."""
    ref = pulled.directory.parent.parent / "refs" / revision
    with contextlib.suppress(OSError):  # of somebody else's: it is asked for again then
        if revision != pulled.revision:
            write_atomically(ref, pulled.revision.encode())


def cached(repo_id, revision=None):
    """The Pulled of what is kept here, without asking anybody; None if it is not, or not whole."""
    try:
        directory = Path(
            snapshot_download(
                repo_id,
                revision=revision,
                allow_patterns=sorted(FILES),
                local_files_only=True,
            )
        )
    except (OSError, ValueError):
        return None
    whole = all((directory / name).exists() for name in NEEDED)
    return Pulled(directory, repo_id, directory.name) if whole else None
