"""The last push of a run: its retries and its output."""

import signal

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from charlm.hub import publish as publishing
from charlm.hub.client import HubError, raise_as_hub_error
from charlm.hub.push import RETRY_WAITS
from charlm.models.checkpoint import CheckpointError


@pytest.fixture(autouse=True)
def signal_handlers():
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def publish(tmp_path, monkeypatch, capsys):
    """publish() of a run `x` whose pushes raise the given errors; (success, waits, output)."""

    def run(*errors, repo_id="", private=None, interrupt=False):
        attempts, waits = iter([*errors, None]), []

        def push(directory, *_, **__):
            if error := next(attempts):
                raise error
            return f"https://hub/{directory.name}"

        def sleep(seconds):
            waits.append(seconds)
            if interrupt:
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(publishing, "push", push)
        monkeypatch.setattr(publishing, "sleep", sleep)
        success = publishing.publish(tmp_path / "x", repo_id, private)
        printed = capsys.readouterr()
        return success, tuple(waits), printed.out + printed.err

    return run


def test_a_push_that_succeeds_prints_the_url(publish):
    assert publish() == (True, (), "pushed to https://hub/x\n")


def test_it_is_retried_after_growing_waits(publish):
    success, waits, output = publish(HubError("no answer"), HubError("no answer"))
    assert (success, waits) == (True, RETRY_WAITS[:2])
    assert output.splitlines() == [
        "warning: no answer; trying again in 10 s",
        "warning: no answer; trying again in 30 s",
        "pushed to https://hub/x",
    ]


def test_after_the_last_attempt_it_says_how_to_push_later(publish):
    success, waits, output = publish(*[HubError("no answer")] * 5, repo_id="ann/y", private=True)
    assert (success, waits) == (False, RETRY_WAITS)
    assert output.splitlines()[-2:] == [
        "train.py: no answer; not pushed",
        "push it later with: python train.py --resume --name x --push ann/y --private",
    ]


@pytest.mark.parametrize("error", [HubError("forbidden", permanent=True), CheckpointError("torn")])
def test_a_permanent_failure_is_not_retried(publish, error):
    success, waits, output = publish(error)
    assert (success, waits) == (False, ())
    assert output.endswith("push it later with: python train.py --resume --name x --push\n")


def test_a_signal_ends_the_waiting(publish):
    success, waits, output = publish(HubError("no answer"), interrupt=True)
    assert (success, waits) == (False, RETRY_WAITS[:1])
    assert "train.py: interrupted; not pushed" in output


def http_error(status):
    request = httpx.Request("POST", "https://hub/api")
    return HfHubHTTPError("answered", response=httpx.Response(status, request=request))


def local_error(kind):
    return kind(2, "failed", "/tmp/file")


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (http_error(400), True),
        (http_error(401), True),
        (http_error(403), True),
        (http_error(408), False),
        (http_error(412), False),
        (http_error(429), False),
        (http_error(500), False),
        (http_error(503), False),
        (LocalTokenNotFoundError("no token"), True),
        (httpx.ConnectError("refused"), False),
        (httpx.ReadTimeout("late"), False),
        (OSError("broken pipe"), False),
        (local_error(FileNotFoundError), True),
    ],
)
def test_which_errors_are_permanent(error, permanent):
    with pytest.raises(HubError) as raised, raise_as_hub_error("cannot push"):
        raise error
    assert raised.value.permanent == permanent


def test_the_cause_of_a_failed_upload_decides():
    with pytest.raises(HubError, match="needs write access") as raised, raise_as_hub_error("x"):
        try:
            raise http_error(403)
        except HfHubHTTPError as error:
            raise RuntimeError("the upload failed") from error
    assert raised.value.permanent
