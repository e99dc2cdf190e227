"""train.py and Python scripts with the loopback Hub."""

import json
import shutil
import sys
import textwrap

import preloaded
import pytest
from programs import REPOSITORY

TOKEN = "hf_writer"
# train.py without the waits between the attempts of its last push
WITHOUT_WAITS = """
import runpy, sys
import charlm.hub.publish
charlm.hub.publish.sleep = lambda seconds: None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def train_on_hub(train, hub, tmp_path):
    """train.py with the Hub's variables and without waits; returns (status, output)."""

    def run(*args, token=TOKEN, **variables):
        env = hub.env(tmp_path / "home", token) | {"PYTHONPATH": str(REPOSITORY)} | variables
        script = str(train.folder / "train.py")
        command = [sys.executable, "-c", WITHOUT_WAITS, script, *map(str, args)]
        done = preloaded.run(command, env=env, text=True, timeout=240)
        output = done.stdout + done.stderr
        assert "hf_" not in output.replace("hf auth login", "")  # the token is never printed
        assert "Traceback" not in output
        return done.returncode, output

    return run


@pytest.fixture
def finished(trained, train):
    """The directory of a finished run that `train` finds."""
    shutil.copytree(trained, train.checkpoints)
    return train.checkpoints / "small-gpt"


@pytest.fixture
def python(hub, tmp_path):
    """A Python script with the Hub's variables; returns the JSON that it printed."""

    def run(script, *args, token=TOKEN, home="elsewhere", **variables):
        env = hub.env(tmp_path / home, token) | {"PYTHONPATH": str(REPOSITORY)} | variables
        command = [sys.executable, "-c", "import json, charlm\n" + textwrap.dedent(script), *args]
        done = preloaded.run(command, env=env, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
