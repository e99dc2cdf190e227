"""The snapshots of a run on the Hub, each downloaded when it is first used."""

from huggingface_hub import hf_hub_download

from charlm.hub.client import METADATA_TIMEOUT, HubError, describe_error
from charlm.models.checkpoint import WEIGHTS
from charlm.models.snapshots import check_step, snapshot_file, step_of_file

MAX_BYTES = 100_000_000  # of the snapshots of a repository


def stated_steps(siblings):
    """Return the steps of a repository's snapshots, ascending, at most MAX_BYTES of them.

    `siblings`: its files, as the Hub states them. A file that is larger than the model's weights,
    whose numbers have as many bytes or more, is left out. Of too many, every second is, or third.
    """
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in siblings}
    most = sizes.get(WEIGHTS, 0) + 2**16  # headers differ
    steps = {step_of_file(file): size for file, size in sizes.items() if size <= most}
    steps.pop(None, None)
    every = max(1, -(-max(len(steps) * 2**16, sum(steps.values())) // MAX_BYTES))
    return tuple(sorted(steps)[::-every][::-1])


def fetch(pulled, step, public=False):
    """Download a snapshot of a PulledModel to its directory, unless it is there.

    `public`: send no token. Raises CharlmError.
    """
    file = snapshot_file(step)
    if (pulled.directory / file).exists():
        return
    check_step(pulled.repo_id, step, pulled.snapshots)
    options = {"revision": pulled.revision, "etag_timeout": METADATA_TIMEOUT}
    try:
        hf_hub_download(pulled.repo_id, file, token=False if public else None, **options)
    except Exception as error:
        message = f"cannot fetch {file} of {pulled.repo_id}: {describe_error(error)}"
        raise HubError(message) from None
