"""app.py started as a command and called through its HTTP API."""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import preloaded
import pytest
from api_client import ApiClient
from gradio_client.exceptions import AppError
from programs import REPOSITORY, free_port
from waiting import WITHIN, wait_until

import charlm
from charlm.config import SampleConfig, notes_of

QUICK = {"model": "small-gpt", "max_new_chars": 30, "seed": 1, "api_name": "/generate"}


@pytest.fixture(scope="module")
def client(app):
    return ApiClient(app)


def test_models_are_listed(client):
    assert client.predict(api_name="/models") == ["small-gpt"]


def test_generate_returns_the_text_of_the_package(client, trained):
    model, tokenizer = charlm.load(trained / "small-gpt")
    settings = {"temperature": 0.9, "top_k": 9, "top_p": 0.95, "min_p": 0.01, "seed": 5}
    expected = charlm.generate(model, tokenizer, "KING:\n", 60, **settings)
    got = client.predict(
        prompt="KING:\n", model="small-gpt", max_new_chars=60, api_name="/generate", **settings
    )
    assert got == expected


def test_generate_streams_the_text_so_far(client):
    texts = list(client.submit(prompt="KING:\n", **(QUICK | {"max_new_chars": 5000})))
    assert len(texts) > 2
    assert all(b.startswith(a) for a, b in pairwise(texts))
    assert len(texts[-1]) == len("KING:\n") + 5000


def test_a_text_ends_with_a_sentence_if_the_process_that_writes_it_is_killed(app, client):
    for _ in range(2):
        long = client.submit(prompt="KING:\n", **(QUICK | {"max_new_chars": 5000}))
        next(long)
        (writer,) = children(app.process.pid)
        os.kill(writer, signal.SIGKILL)
        with pytest.raises(AppError, match="has ended and starts again; try again in a moment"):
            long.result(timeout=WITHIN)
        wait_until(lambda writer=writer: children(app.process.pid) not in ([], [writer]))
        assert len(client.predict(prompt="KING:\n", **QUICK)) == len("KING:\n") + 30


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]


def test_a_seed_of_minus_one_is_random(client):
    texts = {client.predict(prompt="KING", **(QUICK | {"seed": -1})) for _ in range(3)}
    assert len(texts) == 3


def test_score_has_the_documented_shape(client):
    result = client.predict(text="KING:\nthe king", model="small-gpt", api_name="/score")
    assert result.keys() == {"bits_per_char", "chars"}
    assert [c["char"] for c in result["chars"]] == list("KING:\nthe king")
    char, probability = result["chars"][0]["top"][0]
    assert isinstance(char, str) and 0 < probability <= 1
    assert result["bits_per_char"] > 0


def test_copied_has_the_documented_shape(client, corpus):
    text = corpus.text[10:60] + "😀"
    result = client.predict(text=text, model="small-gpt", api_name="/copied")
    assert result.keys() == {"lengths", "spans", "unseen", "corpus"}
    assert result["corpus"] == "small.txt"
    assert result["lengths"] == [50] * 50 + [0]
    assert result["unseen"].keys() == {"median", "p95"}
    (span,) = result["spans"]
    assert span.keys() == {"start", "end", "offset", "count", "context"}
    assert (span["start"], span["end"], span["offset"]) == (0, 50, 10)
    assert span["context"] == corpus.text[:210]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "x" * 100_000}, "has 100,000 characters; at most 10,000"),
        ({"max_new_chars": 0}, "max_new_chars is 0; it must be a whole number from 1 to 5,000"),
        ({"max_new_chars": -1}, "max_new_chars is -1"),
        ({"max_new_chars": 10**9}, "it must be a whole number from 1 to 5,000"),
        ({"temperature": -1}, "temperature is -1; it must be a number from 0 to 100"),
        ({"top_p": 2}, "top_p is 2; it must be a number from 0 to 1"),
        ({"model": "hamlet"}, "there is no model 'hamlet'; there is: small-gpt"),
        ({"model": "../small-gpt"}, "there is no model"),
        ({"prompt": 7}, "prompt is 7; it must be a text"),
    ],
)
def test_invalid_input_is_reported_and_the_next_request_works(client, changes, message):
    with pytest.raises(AppError, match=message):
        client.predict(**({"prompt": "KING"} | QUICK | changes))
    assert client.predict(prompt="KING", **QUICK).startswith("KING")


@pytest.mark.parametrize("prompt", ["", "😀😀", "K\0I\0NG", "K\r\nI", "K" * 9999])
def test_unusual_prompts_are_continued(client, prompt, trained):
    known = charlm.load(trained / "small-gpt")[1].clean(prompt).text
    text = client.predict(prompt=prompt, **QUICK)
    assert text.startswith(known)
    assert len(text) == len(known) + 30


def test_a_temperature_of_nan_is_refused(app, client):
    """Send it over plain HTTP, since gradio_client cannot send NaN."""
    body = json.dumps({"data": ["KING", "small-gpt", 30, math.nan, 0, 0, 0, 1]}).encode()
    request = urllib.request.Request(
        f"{app.url}gradio_api/call/generate", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            event = json.load(response)["event_id"]
        with urllib.request.urlopen(
            f"{app.url}gradio_api/call/generate/{event}", timeout=30
        ) as response:
            answer = response.read().decode()
        assert "event: error" in answer
    except urllib.error.HTTPError as error:
        assert error.code in (400, 422)
    assert client.predict(prompt="KING", **QUICK).startswith("KING")


def test_concurrent_requests_get_the_texts_they_would_get_alone(client):
    prompts = ["KING", "Queen", "the crown", "love"]
    alone = [client.predict(prompt=p, **QUICK) for p in prompts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: client.predict(prompt=p, **QUICK), prompts * 3))
    assert together == alone * 3


def test_the_public_endpoints_are_the_documented_ones(client):
    names = client.view_api(return_format="dict")["named_endpoints"].keys()
    runs = {"/runs", "/run_status", "/start_run", "/stop_run", "/snapshots"}
    inspection = {"/score", "/alternatives", "/attention", "/ablation", "/copied"}
    assert names == {"/generate", "/models"} | inspection | runs


def test_every_parameter_is_described(app):
    """The API page shows `python_type`'s description, the OpenAPI schema that of `type`."""
    with urllib.request.urlopen(f"{app.url}gradio_api/info", timeout=30) as response:
        endpoints = json.load(response)["named_endpoints"]
    options = notes_of(SampleConfig)
    for name, endpoint in endpoints.items():
        assert endpoint["description"]
        notes = [p["python_type"]["description"] for p in endpoint["parameters"]]
        assert all(notes), f"{name} has a parameter without a description"
        assert len(set(notes)) == len(notes), f"{name} describes two parameters alike"
        assert [p["type"]["description"] for p in endpoint["parameters"]] == notes
        assert [p["label"] for p in endpoint["parameters"]] == [
            p["parameter_name"] for p in endpoint["parameters"]
        ]
    for parameter in endpoints["/generate"]["parameters"][2:-1]:
        note = options[parameter["parameter_name"]]
        assert parameter["type"]["description"].lower().startswith(note.lower())


def test_no_event_makes_the_browser_go_through_its_outputs_to_show_progress(app):
    with urllib.request.urlopen(f"{app.url}config", timeout=30) as response:
        events = json.load(response)["dependencies"]
    private = [e for e in events if e["backend_fn"] and e["api_visibility"] == "private"]
    assert len(private) > 10
    assert [e["api_name"] for e in private if e["show_progress_on"] != []] == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system has no /proc")
def test_an_idle_app_hardly_wakes_up(app, client):
    client.predict(prompt="A", **QUICK)  # its engine has been started, and has written

    def wakes():
        tasks = Path(f"/proc/{app.process.pid}/task").iterdir()
        counts = [
            (task / "status").read_text().split("\nvoluntary_ctxt_switches:")[1] for task in tasks
        ]
        return sum(int(count.split()[0]) for count in counts)

    def wakes_a_second():
        before = wakes()
        time.sleep(2)
        return (wakes() - before) / 2

    wait_until(lambda: wakes_a_second() < 300)  # 120; with Gradio's settings, 850


def test_runs_are_listed_with_status_and_events(client):
    (run,) = client.predict(api_name="/runs")
    val_loss = run.pop("val_loss")
    assert run == {"name": "small-gpt", "state": "finished", "step": 30, "steps": 30}
    status = client.predict(run="small-gpt", cursor=0, api_name="/run_status")
    assert {"state", "step", "steps", "eta_seconds", "cursor", "events"} <= status.keys()
    assert (status["state"], status["step"], status["steps"]) == ("finished", 30, 30)
    kinds = [event["event"] for event in status["events"]]
    assert kinds[0] == "start" and kinds[-1] == "end"
    losses = [event["val_loss"] for event in status["events"] if event["event"] == "eval"]
    assert losses[-1] == val_loss
    again = client.predict(run="small-gpt", cursor=status["cursor"], api_name="/run_status")
    assert again == status | {"events": []}


@pytest.mark.parametrize(
    ("endpoint", "arguments", "message"),
    [
        ("/run_status", {"run": "none"}, "there is no run none"),
        ("/run_status", {"run": "../small-gpt"}, "cannot be a run's name"),
        ("/run_status", {"run": "small-gpt", "cursor": -1}, "cursor is -1"),
        ("/stop_run", {"run": "small-gpt"}, "small-gpt was not started on this page"),
        ("/start_run", {"name": "../x", "text": "KING" * 999}, "cannot be a run's name"),
        ("/start_run", {"name": "small-gpt", "text": "KING" * 999}, "such a run already"),
        ("/start_run", {"text": "x"}, "a model needs at least 1,000"),
        ("/start_run", {"preset": "huge", "text": "KING" * 999}, "preset is 'huge'"),
        ("/start_run", {"steps": -1, "text": "KING" * 999}, "steps is -1"),
    ],
)
def test_invalid_requests_about_runs_are_reported(client, endpoint, arguments, message):
    with pytest.raises(AppError, match=message):
        client.predict(api_name=endpoint, **arguments)


def test_without_a_model_the_error_says_how_to_train_one(tmp_path):
    (tmp_path / "app.py").symlink_to(REPOSITORY / "app.py")
    done = preloaded.run([sys.executable, str(tmp_path / "app.py")], text=True)
    assert done.returncode == 2
    assert "train one with train.py" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["7860", "65535"])
def test_an_address_of_another_machine_is_reported(trained_copy, port):
    places = {"CHARLM_CHECKPOINTS": str(trained_copy), "GRADIO_SERVER_NAME": "203.0.113.7"}
    command = [sys.executable, str(REPOSITORY / "app.py")]
    env = os.environ | places | {"GRADIO_SERVER_PORT": port}
    done = preloaded.run(command, text=True, env=env)
    assert done.returncode == 1
    assert f"app.py: cannot serve the page at 203.0.113.7, port {port} or one of" in done.stderr
    assert "Traceback" not in done.stderr


UNUSABLE = {
    "http_proxy": "http://user:secret@host:port",
    "HTTPS_PROXY": "http://[::1",
    "all_proxy": "socks9://127.0.0.1:1",
}
ODD_STARTS = {
    "proxies": ({"http_proxy": "http://127.0.0.1:9", "no_proxy": "example.org"}, "log"),
    "unusable proxies": (UNUSABLE, "log"),
    "output that is closed": ({}, "closed"),
    "output to a full disk": ({}, "/dev/full"),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("start", ODD_STARTS)
def test_the_page_is_served(start, trained_copy, tmp_path):
    variables, output = ODD_STARTS[start]
    port = str(free_port())
    places = {"CHARLM_CHECKPOINTS": str(trained_copy), "GRADIO_SERVER_PORT": port}
    env = os.environ | places | {"NO_PROXY": "", "no_proxy": ""} | variables
    command = [sys.executable, str(REPOSITORY / "app.py")]
    log = tmp_path / "log"
    log.touch()
    if output == "closed":  # when Python starts
        script = f"exec {shlex.join(command)} >&- 2>&-"
        server = subprocess.Popen(["bash", "-c", script], env=env)
    else:
        with (tmp_path / output).open("w") as stream:  # /dev/full is absolute
            server = preloaded.Process(command, env=env, stdout=stream, stderr=stream)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        give_up = time.monotonic() + 60
        while True:
            try:
                answer = direct.open(f"http://127.0.0.1:{port}/", timeout=5)
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < give_up, f"nothing is served: {log.read_text()}"
                time.sleep(0.2)
        assert answer.status == 200
        time.sleep(1)  # Gradio requests its own page once it is served
        assert server.poll() is None
    finally:
        server.kill()
        server.wait(60)
    printed = log.read_text()
    assert "Traceback" not in printed
    assert "secret" not in printed
    warning = "no proxy can be used as HTTPS_PROXY, all_proxy, http_proxy says"
    assert (warning in printed) == (variables is UNUSABLE)
