"""The Hub client's timeout, file names and error messages."""

import contextlib
import re
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import httpx
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from charlm.errors import CharlmError, quote
from charlm.models.checkpoint import CONFIG, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS
from charlm.runs.card import CARD_FILE
from charlm.runs.log import LOG_FILE

METADATA_TIMEOUT = 5  # seconds to wait for a response without a file
TIMEOUT = 60  # seconds without data; by default, huggingface_hub waits without a limit
GATED = "it is gated: ask for access on its page, then log in"
REPO_FILES = {CONFIG, WEIGHTS, TOKENIZER, TOKENIZER_CONFIG, LOG_FILE, CARD_FILE}
REVISION = re.compile(r"[\w+-][\w.+-]*(/[\w+-][\w.+-]*)*")  # a branch, tag, commit or reference
HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}
PASSING = {408, 409, 412, 429}  # client errors that may be temporary


class HubError(CharlmError):
    """A request to the Hub that failed. The message says why, and never contains a token.

    `permanent`: another attempt would fail, too.
    """

    def __init__(self, message, permanent=False):
        super().__init__(message)
        self.permanent = permanent


def describe_error(error):
    """Return a message for the user: the reason why a request failed."""
    error = root_cause(error)
    if isinstance(error, LocalTokenNotFoundError):
        return "not logged in: run `hf auth login`, or set HF_TOKEN"
    if isinstance(error, HFValidationError):
        return f"that cannot be a repository's name: {str(error).splitlines()[0]}"
    if isinstance(error, GatedRepoError):
        return GATED
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private"
    if isinstance(error, HfHubHTTPError) and (status := status_of(error)):
        messages = {
            401: "the token is not valid: run `hf auth login`, or set HF_TOKEN",
            403: "the token may not do that: it needs write access there",
            429: "the Hub was asked too often; try again in some minutes",
        }
        return messages.get(status, f"the Hub answered {status}")
    if isinstance(error, OSError) and error.filename:  # it belongs to the server: not named
        return f"the Hub's cache cannot be used: {error.strerror}; set HF_HOME to another directory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (ValueError, ImportError, httpx.InvalidURL)) and (proxies := getproxies()):
        names = ", ".join(f"{scheme}_proxy" for scheme in proxies if scheme != "no")
        return f"no proxy can be used as the environment sets it: correct {names}"
    return f"the Hub cannot be reached ({type(error).__name__})"


def is_permanent(error):
    """Return whether another attempt of the same request would fail, too."""
    error = root_cause(error)
    refusals = (LocalTokenNotFoundError, HFValidationError, GatedRepoError, RepositoryNotFoundError)
    if isinstance(error, refusals):
        return True
    if isinstance(error, OSError) and error.filename:  # a local file
        return True
    status = status_of(error) or 0
    return 400 <= status < 500 and status not in PASSING


def root_cause(error):
    """Return the error that huggingface_hub wrapped, if it failed in an upload or a download."""
    while isinstance(error, (RuntimeError, LocalEntryNotFoundError)) and error.__cause__:
        error = error.__cause__
    return error


def status_of(error):
    """Return the HTTP status that an error reports, or None."""
    return getattr(getattr(error, "response", None), "status_code", None)


def check_login(repo_id=""):
    """Raise CharlmError if a push cannot succeed: without a token, or to an invalid repo id."""
    if not get_token():
        raise CharlmError(f"cannot push: {describe_error(LocalTokenNotFoundError())}")
    if repo_id:
        try:
            validate_repo_id(repo_id)
        except HFValidationError as error:
            raise CharlmError(f"cannot push: {describe_error(error)}") from None


def is_repo_id(source):
    """Return whether this is a valid "user/name" of a repository."""
    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return source.count("/") == 1


def parse_source(source):
    """Return ("user/repo", revision or None) of a source of a model.

    That is "user/repo", "user/repo@revision", or an address copied from the Hub's pages. Raises
    HubError.
    """
    repo_id, at, revision = source.strip().partition("@")
    with contextlib.suppress(ValueError):  # no address
        address = urlsplit(repo_id if "://" in repo_id else f"//{repo_id}")
        if address.hostname in HOSTS | {urlsplit(constants.ENDPOINT).hostname}:
            user, repo, *view = [*address.path.strip("/").split("/"), ""][:7]
            if user not in ("datasets", "spaces"):
                repo_id, in_address = f"{user}/{repo}", revision_of_view(view)
                revision = revision or in_address
    if not is_repo_id(repo_id) or not REVISION.fullmatch(revision or ("" if at else "main")):
        raise HubError(
            f"{quote(source)} is no Hub model: give its user/repo, or user/repo@revision"
        )
    return repo_id, revision or None


def revision_of_view(view):
    """Return the revision in the parts of an address after the repository; "" for the latest."""
    if view[:1] not in (["tree"], ["blob"], ["resolve"], ["raw"], ["commit"]):
        return ""
    length = 3 if view[1] == "refs" else 1  # refs/pr/1
    revision = unquote("/".join(view[1 : 1 + length]))
    return "" if revision == "main" else revision


def canonical_source(source):
    """Return a source as "user/repo" or "user/repo@revision"; raises HubError."""
    repo_id, revision = parse_source(source)
    return f"{repo_id}@{revision}" if revision else repo_id


@contextlib.contextmanager
def raise_as_hub_error(failure):
    """Raise any error but a CharlmError as HubError, whose message is `failure` and the reason."""
    try:
        yield
    except CharlmError:
        raise
    except Exception as error:  # the client's HTTP library raises many kinds
        message = f"{failure}: {describe_error(error)}"
        raise HubError(message, is_permanent(error)) from None
