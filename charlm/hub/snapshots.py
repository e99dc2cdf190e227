"""The snapshots of a run on the Hub, each downloaded when it is first used."""

from huggingface_hub import hf_hub_download

from charlm.errors import CharlmError, name_files
from charlm.hub.client import METADATA_TIMEOUT, HubError, describe_error
from charlm.models.checkpoint import WEIGHTS
from charlm.models.snapshots import check_step, load_snapshot, snapshot_file, step_of_file

MAX_SNAPSHOTS = 1000  # of a repository


def stated_steps(siblings):
    """Return the steps of a repository's snapshots, ascending.

    `siblings`: its files, as the Hub states them. A file that is larger than the model's weights,
    whose numbers have as many bytes or more, is left out.
    """
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in siblings}
    most = sizes.get(WEIGHTS, 0) + 2**16  # headers differ
    steps = (step_of_file(file) for file, size in sizes.items() if size <= most)
    return tuple(sorted(step for step in steps if step is not None)[:MAX_SNAPSHOTS])


def load(pulled, step, public=False):
    """Return the model and tokenizer of a snapshot of a PulledModel, downloaded if need be.

    `public`: send no token. Raises CharlmError.
    """
    file = snapshot_file(step)
    if not (pulled.directory / file).exists():
        check_step(pulled.repo_id, step, pulled.snapshots)
        options = {"revision": pulled.revision, "etag_timeout": METADATA_TIMEOUT}
        try:
            hf_hub_download(pulled.repo_id, file, token=False if public else None, **options)
        except Exception as error:
            message = f"cannot fetch {file} of {pulled.repo_id}: {describe_error(error)}"
            raise HubError(message) from None
    try:
        return load_snapshot(pulled.directory, step)
    except CharlmError as error:
        raise CharlmError(name_files(str(error), pulled.directory, pulled.repo_id)) from None
