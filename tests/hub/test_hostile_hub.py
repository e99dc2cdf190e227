"""Hub repositories that a stranger made to harm a page: refused before they cost anything."""

import json
import struct
import subprocess
import sys

import preloaded
import pytest
from programs import REPOSITORY
from waiting import wait_for_line

MILLION = 1_100_000


def header_of(size, **tensors):
    """Return a safetensors file whose header states these tensors, and `size` bytes of data."""
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def model_with(**options):
    def change(files):
        parts = json.loads(files["config.json"])
        parts["model"] |= options
        return {"config.json": json.dumps(parts).encode()}

    return change


def config_with(**parts):
    return lambda files: {"config.json": json.dumps(json.loads(files["config.json"]) | parts)}


def vocabulary(tokens):
    """Return a change of tokenizer.json to a vocabulary of (token, id)."""
    entries = ", ".join(f"{json.dumps(token)}: {i}" for token, i in tokens)
    return lambda files: {"tokenizer.json": f'{{"model": {{"vocab": {{{entries}}}}}}}'}


def weights(raw):
    return lambda files: {"model.safetensors": raw}


def not_a_number(files):
    raw = files["model.safetensors"]
    return {"model.safetensors": raw[:-4] + struct.pack("<f", float("nan"))}


def claims_a_terabyte(files):
    raw = files["model.safetensors"]
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    name = next(n for n in header if n != "__metadata__")
    header[name] |= {"shape": [2**38], "data_offsets": [0, 2**40]}
    changed = json.dumps(header).encode()
    return {"model.safetensors": struct.pack("<Q", len(changed)) + changed + raw[8 + length :]}


TEXT = {"tokenizer.json", "run.jsonl", "README.md"}
BEFORE_WEIGHTS = {  # name: (change of the files, part of the message)
    "conv": (model_with(conv_size=1_500_000_000), "conv_size is 1500000000"),
    "conv-page": (model_with(conv_size=60_000), "conv_size is 60000"),
    "vocab": (model_with(vocab_size=MILLION), "vocab_size is 1100000"),
    "deep": (model_with(n_layer=64, block_size=1024, n_head=8), "n_head is 8"),
    "deep-page": (
        model_with(n_layer=64, block_size=1024, n_embd=96, attention_every=1),
        "block_size is 1024",
    ),
    "layers": (model_with(n_layer=10**9), "n_layer is 1000000000"),
    "heads": (model_with(n_head=2**40), "n_head is 1099511627776"),
    "wide": (model_with(n_embd=4096), "n_embd is 4096"),
    "digits": (lambda files: {"config.json": b'{"kind": ' + b"9" * 5000 + b"}"}, "too large"),
    "infinite": (config_with(data=1e308 * 10), "not a finite number"),
    "nested": (lambda files: {"config.json": b"[" * 100_000}, "structure"),
    "boolean": (model_with(n_layer=True), "n_layer is True"),
    "markup": (config_with(kind="<img src=x onerror=alert(1)>" + "x" * 999), "its kind is '<img"),
    "surrogate": (config_with(kind="\ud800"), "its kind is"),
    "listed": (config_with(kind=["gpt"]), "its kind is"),
    "option": (model_with(**{"<b>": 1}), "unknown option '<b>'"),
    "large-config": (
        lambda files: {"config.json": b" " * 50_000_000 + files["config.json"]},
        "config.json of bob/large-config has 50,0",
    ),
    "large-log": (lambda files: {"run.jsonl": b"x" * 11_000_000}, "run.jsonl of bob/large-log has"),
    "large-tokenizer": (lambda files: {"tokenizer.json": b" " * 3_000_000}, "tokenizer.json of"),
    "too-small": (weights(b"x" * 100), "is damaged or does not fit config.json: 100 bytes"),
    "too-large": (weights(bytes(9_000_000)), "9,000,000 bytes"),
    "header": (weights(struct.pack("<Q", 90_000_000) + b" " * 90_000_000), "90,000,008 bytes"),
    "type": (model_with(out_norm=False), "no network with these options"),
}
AFTER_WEIGHTS = {
    "terabyte": (claims_a_terabyte, "is damaged or not safetensors"),
    "nan": (not_a_number, "not finite numbers"),
    "pairs": (vocabulary([("ab", 0), ("c", 1)]), "not a character tokenizer"),
    "twice": (vocabulary([("a", 0), ("b", 0)]), "not a character tokenizer"),
    "halves": (vocabulary([("\ud800", 0)]), "not a character tokenizer"),
    "flags": (vocabulary([("a", "false"), ("b", "true")]), "not a character tokenizer"),
    "half": (lambda files: {"model.safetensors": files["model.safetensors"][:-4]}, "safetensors"),
}
CASES = BEFORE_WEIGHTS | AFTER_WEIGHTS

ADD = r"""
import json, os, re, sys
from pathlib import Path

from charlm.errors import CharlmError
from charlm.hub.follow import HubFollowers
from charlm.serving.limits import Limits
from charlm.serving.library import Library
def peak():
    status = Path("/proc/self/status")  # of Linux
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) if status.exists() else 0
library = Library(sys.argv[1], HubFollowers(), Limits())
messages, before = {}, peak()
for source in sys.argv[2:]:
    try:
        messages[source] = library.add(source)
    except CharlmError as error:
        messages[source] = "refused: " + str(error)
grown = (peak() - before) / 1024  # megabytes
cache = Path(os.environ["HF_HOME"]) / "hub"
files = [str(p.relative_to(cache)) for p in cache.rglob("*") if p.name != "CACHEDIR.TAG"]
files = [f for f in files if "--" in f]
print(json.dumps([messages, grown, files]))
"""


def run_script(hub, home, script, *arguments, **variables):
    """Return the JSON that a script printed last, run with the Hub's variables."""
    env = hub.env(home) | {"PYTHONPATH": str(REPOSITORY)} | variables
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = preloaded.run(command, env=env, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def as_bytes(files):
    return {
        name: content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        for name, content in files.items()
    }


def is_clear(message, source, part, home):
    """Return whether a message is one short sentence about a repository, without a path."""
    clear = message.startswith("refused: ") and message.isprintable() and len(message) < 300
    return clear and source in message and part in message and str(home) not in message


@pytest.mark.slow
def test_what_a_page_refuses_costs_no_download_no_memory_and_no_disk(
    hub, pushed, trained, tmp_path
):
    for name, (change, _) in CASES.items():
        hub.add(f"bob/{name}", pushed | as_bytes(change(pushed)))
    hub.add("bob/honest", pushed)
    sources = [f"bob/{name}" for name in CASES]
    messages, grown, files = run_script(hub, tmp_path, ADD, trained, *sources, "bob/honest")
    unclear = {
        name: messages[f"bob/{name}"]
        for name, (_, part) in CASES.items()
        if not is_clear(messages[f"bob/{name}"], f"bob/{name}", part, tmp_path)
    }
    assert not unclear
    assert messages["bob/honest"] == "bob/honest"
    assert {file.split("/")[0] for file in files if ".locks" not in file} == {"models--bob--honest"}
    assert {file.split("/")[1] for file in files if ".locks" in file} <= {"models--bob--honest"}
    assert grown < 200, grown
    fetched = {path for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path}
    for name in BEFORE_WEIGHTS:
        ours = {path.split("/")[-1] for path in fetched if path.startswith(f"/bob/{name}/")}
        assert ours <= {"config.json"}, (name, ours)


FOLLOW = """
import json, os, sys, time
from pathlib import Path
import charlm.hub.follow as follow
from charlm.serving.limits import Limits
from charlm.serving.library import Library
follow.CHECK_INTERVAL = 0
followers = follow.HubFollowers()
library = Library(sys.argv[1], followers, Limits())
library.add("bob/changes")
first = followers.get("bob/changes").revision
print(first, flush=True)
while not Path(sys.argv[2]).exists():
    time.sleep(0.05)
deadline = time.monotonic() + 30
while time.monotonic() < deadline and not followers.get("bob/changes").notice:
    library.get("bob/changes")
    time.sleep(0.2)
for _ in range(5):
    library.get("bob/changes")
    time.sleep(0.2)
pulled = followers.get("bob/changes")
cache = Path(os.environ["HF_HOME"]) / "hub"
snapshots = [p.name for p in cache.glob("models--*/snapshots/*")]
print(json.dumps([pulled.revision, pulled.notice, snapshots]))
"""


@pytest.mark.parametrize("name", ["vocab", "nan", "markup"])
def test_a_hostile_second_revision_is_refused_and_the_first_stays(
    hub, pushed, trained, tmp_path, name
):
    hub.add("bob/changes", pushed)
    env = hub.env(tmp_path) | {"PYTHONPATH": str(REPOSITORY)}
    changed = tmp_path / "changed"
    command = [sys.executable, "-c", FOLLOW, str(trained), str(changed)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = preloaded.Process(command, env=env, text=True, **pipes)
    first = wait_for_line(process).strip()
    change, part = CASES[name]
    second = hub.add("bob/changes", as_bytes(change(pushed)))
    changed.touch()
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    revision, notice, snapshots = json.loads(output.splitlines()[-1])
    assert revision == first != second
    assert f"the new revision {second[:7]} of bob/changes is refused" in notice
    assert part in notice and f"{first[:7]} stays in use" in notice
    assert snapshots == [first]
    weights = [p for m, p, _ in hub.requests if second in p and "model.safetensors" in p]
    assert len(weights) < 6  # it is not downloaded again and again


CACHE = """
import json, os, sys, time
from pathlib import Path
import charlm
from charlm.hub.follow import HubFollowers
cache = Path(os.environ["HF_HOME"]) / "hub"
charlm.load("ann/own")
followers = HubFollowers(max_cache=int(sys.argv[1]))
for i in range(5):
    followers.follow(f"bob/m{i}", public=True)
    if i != 3:
        followers.drop(f"bob/m{i}")
    time.sleep(0.05)
followers.follow("ann/own", public=True)
print(json.dumps(sorted(p.name for p in cache.glob("models--*"))))
"""


@pytest.mark.slow
def test_the_cache_keeps_what_is_followed_and_what_others_fetched(hub, pushed, tmp_path):
    for repo in ("ann/own", *(f"bob/m{i}" for i in range(5))):
        hub.add(repo, pushed)
    size = sum(map(len, pushed.values()))
    kept = run_script(hub, tmp_path / "a", CACHE, int(2.5 * size))
    assert kept == ["models--ann--own", "models--bob--m3", "models--bob--m4"]
    kept = run_script(hub, tmp_path / "b", CACHE, 1)
    assert kept == ["models--ann--own", "models--bob--m3"]


OTHER = """
import json, os, sys
from pathlib import Path
import charlm
charlm.load("bob/nan", sys.argv[1])
from charlm.errors import CharlmError
from charlm.hub.follow import HubFollowers
followers = HubFollowers()
try:
    followers.follow("bob/nan", public=True)
except CharlmError as error:
    message = str(error)
cache = Path(os.environ["HF_HOME"]) / "hub"
snapshot = cache / "models--bob--nan" / "snapshots"
print(json.dumps([message, {p.name: len(list(p.iterdir())) for p in snapshot.iterdir()}]))
charlm.load("bob/nan", sys.argv[1])
"""


def test_refusing_a_revision_keeps_the_files_that_another_one_shares(hub, pushed, tmp_path):
    good = hub.add("bob/nan", pushed)
    hub.add("bob/nan", not_a_number(pushed))
    message, snapshots = run_script(hub, tmp_path, OTHER, good)
    assert "model.safetensors of bob/nan has weights that are not finite" in message
    assert snapshots == {good: 6}


RUNS = """
import json, sys
from charlm.hub.follow import HubFollowers
from charlm.serving.job_queue import JobQueue
from charlm.serving.library import Library
from charlm.serving.limits import Limits
from charlm.serving.run_monitor import RunMonitor
followers = HubFollowers()
library = Library(sys.argv[1], followers, Limits())
monitor = RunMonitor(JobQueue(library.directory, Limits()), followers)
for source in sys.argv[2:]:
    library.add(source)
    library.summary(source)
statuses = monitor.statuses(fresh=True)
for name in statuses:
    monitor.history(name)
print(json.dumps({name: [status.state, status.message] for name, status in statuses.items()}))
"""


def test_a_hostile_log_fails_its_run_and_the_model_still_writes(hub, pushed, trained, tmp_path):
    start, *rest = pushed["run.jsonl"].splitlines(keepends=True)
    step = b'{"event": "step", "step": 1, "time": 1, "loss": 1, "lr": 1, "chars_per_second": 1}\n'
    bad = step.replace(b'"loss": 1', b'"loss": ' + b"9" * 400)
    logs = {
        "early": b"".join([start, bad, step * 2000, *rest]),
        "late": pushed["run.jsonl"] + bad,
        "long": pushed["run.jsonl"] + b"x" * 3_000_000 + b"\n",
        "repeated": b"".join([start, step, step, step * 2, *rest]),
    }
    for name, log in logs.items():
        hub.add(f"bob/{name}", pushed | {"run.jsonl": log})
    runs = run_script(hub, tmp_path, RUNS, trained, *(f"bob/{name}" for name in logs))
    assert runs["small-gpt"][0] == runs["bob/repeated"][0] == "finished"
    for name in ("early", "late", "long"):
        state, message = runs[f"bob/{name}"]
        assert state == "failed"
        assert message.startswith(f"run.jsonl of bob/{name} is damaged: ")
        assert len(message) < 150 and str(tmp_path) not in message
