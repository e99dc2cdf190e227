"""What push, pull and deploy share: the Hub's time limit, its file names, its errors in words."""

import contextlib

from huggingface_hub import get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from charlm.errors import CharlmError
from charlm.models import checkpoint
from charlm.runs import log as runlog

TIMEOUT = 60  # of silence after which the Hub counts as gone; by itself the client waits for ever
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


def is_repo_id(source):
    """Whether this can be a repository's name, "user/repo"."""
    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return source.count("/") == 1


@contextlib.contextmanager
def raise_as_hub_error(what):
    try:
        yield
    except CharlmError:
        raise
    except Exception as error:  # the client raises what its HTTP library does, too
        raise HubError(f"{what}: {why(error)}") from None
