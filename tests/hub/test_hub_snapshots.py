"""Snapshots on the Hub: pushed on request, fetched one by one."""

import json

import pytest
import torch

import charlm
from charlm.hub.snapshots import stated_steps
from charlm.models.snapshots import load_snapshot, save_snapshot

PUSH = ["--name", "small-gpt", "--resume", "--push"]
LOAD = """
    import sys
    from charlm.errors import CharlmError
    from charlm.hub.follow import HubFollowers
    from charlm.serving.library import Library
    from charlm.serving.limits import Limits
    found = []
    for name in ("ann/small-gpt#5", "ann/small-gpt#7"):
        try:
            found.append(charlm.generate(*charlm.load(name), "KING", 40, seed=3))
        except CharlmError as error:
            found.append(str(error))
    library = Library("/nowhere", HubFollowers(), Limits())
    library.add("ann/small-gpt")
    found.append(library.snapshots("ann/small-gpt"))
    found.append(charlm.generate(*library.get("ann/small-gpt#5"), "KING", 40, seed=3))
    print(json.dumps(found))
"""


@pytest.fixture
def run(finished):
    """A finished run with two snapshots whose weights differ from the final ones."""
    model, _ = charlm.load(finished)
    for step in (5, 0):
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(0.5)
        save_snapshot(finished, model, step)
    return finished


def snapshot_files(hub):
    files = hub.files("ann/small-gpt")
    assert "model.safetensors" in files
    return {name.partition("/")[2]: raw for name, raw in files.items() if "/" in name}


def test_snapshots_are_pushed_on_request_and_fetched_when_used(run, train_on_hub, hub, python):
    status, output = train_on_hub(*PUSH)
    assert status == 0, output
    assert snapshot_files(hub) == {}
    status, output = train_on_hub(*PUSH, "--push-snapshots")
    assert status == 0, output
    assert snapshot_files(hub).keys() == {"0.safetensors", "5.safetensors"}
    early = charlm.generate(*load_snapshot(run, 5), "KING", 40, seed=3)
    found = python(LOAD)
    sentence = "ann/small-gpt has no snapshot of step 7; it has: 0, 5"
    assert found == [early, sentence, [0, 5], early]
    # without the Hub, the one that was fetched is there
    offline = python(LOAD.replace("Limits()", 'Limits(hub="all")'), HF_HUB_OFFLINE="1")
    assert (offline[0], offline[2]) == (early, [5])

    (run / "snapshots" / "0.safetensors").unlink()
    status, output = train_on_hub(*PUSH, "--push-snapshots")
    assert status == 0, output
    assert snapshot_files(hub).keys() == {"5.safetensors"}, "the old one is still there"
    status, output = train_on_hub(*PUSH)
    assert status == 0, output
    assert snapshot_files(hub) == {}, "they may be another run's"


def test_push_snapshots_needs_a_push(here):
    status, output = here("--push-snapshots")
    assert status == 2
    assert "--push-snapshots say how to --push" in output


class Sibling:
    def __init__(self, name, size):
        self.rfilename, self.size = name, size


def test_only_files_that_can_be_snapshots_are_listed():
    files = {"model.safetensors": 10**6, "snapshots/7.safetensors": 5 * 10**5}
    files |= {"snapshots/0.safetensors": 10**6, "snapshots/8.safetensors": 10**9}
    files |= {"snapshots/x.safetensors": 10, "other/3.safetensors": 10, "snapshots/4.bin": 10}
    assert stated_steps([Sibling(*file) for file in files.items()]) == (0, 7)
    many = [Sibling(f"snapshots/{n}.safetensors", 10) for n in range(5_000)]
    listed = stated_steps([Sibling("model.safetensors", 10), *many])
    assert len(listed) < 2_000 and listed[-1] == 4_999
    large = [Sibling(f"snapshots/{n}.safetensors", 40 * 10**6) for n in range(9)]
    listed = stated_steps([Sibling("model.safetensors", 80 * 10**6), *large])
    assert listed == (0, 4, 8), "more than 100 MB"
    assert json.dumps(stated_steps([])) == "[]"
