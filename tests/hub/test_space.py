"""A Space, deployed to the loopback Hub and then served as Hugging Face serves it."""

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import preloaded
import pytest
from api_client import ApiClient
from browser import paste, unfold_panel, visitor
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from playwright.sync_api import expect
from programs import REPOSITORY, App, free_port
from small_models import make_text

from charlm.errors import CharlmError
from charlm.hub.space import start_model

SPACE = "ann/charlm"
NEEDED = {"app.py", "train.py", "requirements.txt", "README.md", "LICENSE", ".gitattributes"}
BUILDER = ["uvicorn>=0.14.0", "websockets>=10.4", "spaces"]  # and the README's gradio
NOBODY = 65534
HEADER = ("https://huggingface.co/", "https://fonts.g")  # Gradio's header on a Space
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
PYTHONS = [str(Path(sys.executable).resolve()), "/usr/bin/python3", "/usr/local/bin/python3"]


@pytest.fixture
def deploy(hub, tmp_path):
    """`app.py --deploy` with flags; returns (status, output)."""

    def run(*flags, token="hf_writer"):
        command = [sys.executable, str(REPOSITORY / "app.py"), "--deploy", *flags]
        env = hub.env(tmp_path / "home", token)
        done = preloaded.run(command, env=env, text=True, timeout=240)
        output = done.stdout + done.stderr
        assert "hf_" not in output.replace("hf auth login", "")
        assert "Traceback" not in output
        return done.returncode, output

    return run


def test_a_space_is_made_and_updated(deploy, hub):
    status, output = deploy()
    assert (status, f"deployed to {hub.url}/spaces/{SPACE}" in output) == (0, True), output
    space = hub.repo(SPACE, "space")
    assert space.variables["CHARLM_MODEL"]["value"] == "checkpoints/shakespeare"
    assert not space.secrets
    files = hub.files(SPACE, kind="space")
    for path in files.keys() - NEEDED:
        assert re.match(r"charlm/|checkpoints/(bigram|gpt|shakespeare|two-minutes)/", path), path
        assert not re.search(r"__pycache__|/resume/|/\.", path), path
    assert {
        "checkpoints/gpt/README.md",
        "checkpoints/two-minutes/snapshots/0.safetensors",
    } <= files.keys()
    assert files["app.py"] == (REPOSITORY / "app.py").read_bytes()
    assert files["README.md"].startswith(b"---\ntitle: charlm")
    assert len(space.commits) == 2  # the initial one, and the deployment
    hub.add(SPACE, {"charlm/old.py": b"gone since", "app.py": b"edited"}, kind="space")
    hub.add("ann/mine", {"config.json": b"{}"})
    status, output = deploy(SPACE, "--model", "ann/mine", "--private")
    assert status == 0, output
    assert len(space.commits) == 4
    assert space.variables["CHARLM_MODEL"]["value"] == "ann/mine"
    again = hub.files(SPACE, kind="space")
    assert again.keys() == files.keys()
    assert {path for path in files if again[path] != files[path]} == {"README.md"}
    assert b"\npreload_from_hub:\n- ann/mine\n" in again["README.md"]


def test_a_failed_deployment_is_reported(deploy, hub):
    status, output = deploy(token=None)
    assert (status, "not logged in" in output) == (2, True)
    status, output = deploy("bob/charlm")
    assert (status, "it needs write access there" in output) == (1, True)
    with pytest.raises(CharlmError, match="push it, and give its user/repo"):
        start_model(REPOSITORY, "tests")
    assert not hub.repos


# make a build of torch without CUDA look like one with it to the package `spaces`
CUDA = """import torch
torch.version.cuda, torch._C._cuda_init, torch.cuda._is_in_bad_fork = "12.8", None, bool
"""


class Space(App):
    """The read-only files of a Space, served by the user `nobody` in a virtual environment."""

    def __init__(self, folder, python, **variables):
        port = free_port()
        self.url, self.log = f"http://127.0.0.1:{port}/", folder / f"log-{port}"
        self.temporary = folder / "tmp"
        self.env = {
            "PATH": os.environ["PATH"],
            "SYSTEM": "spaces",
            "SPACE_ID": SPACE,
            "SPACE_AUTHOR_NAME": "ann",
            "GRADIO_SERVER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "HOME": str(folder / "checkout"),  # read-only, too
            "TMPDIR": str(self.temporary),
            "NO_PROXY": "127.0.0.1",
        } | variables
        self.command, self.checkout = [str(python), "app.py"], folder / "checkout"
        self.start()

    def start(self):
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=self.env, cwd=self.checkout, **AS_NOBODY
            )
        self.wait_until_it_serves(180)


def works_for_nobody(python):
    try:
        return subprocess.run([python, "-c", "import venv"], **AS_NOBODY).returncode == 0
    except OSError:
        return False


def installed_requirements(requirement, found):
    """Add to `found` the name of a requirement that is installed here, and those it needs."""
    requirement = Requirement(requirement)
    name = canonicalize_name(requirement.name)
    for extra in ("", *requirement.extras):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            needed = importlib.metadata.requires(name) or []
            new = (name, extra) not in found
            found.add((name, extra))
            for line in needed if new else ():
                marker = Requirement(line).marker
                if marker is None or marker.evaluate({"extra": extra}):
                    installed_requirements(line, found)
    return found


def link_installed(site):
    """Put what charlm needs from this environment into another one, so that pip need not."""
    found = set()
    for line in (REPOSITORY / "requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            installed_requirements(line.partition("#")[0], found)
    for name in {name for name, _ in found}:
        files = [file for file in importlib.metadata.files(name) if ".." not in file.parts]
        here = files[0].locate().parents[len(files[0].parts) - 1]
        compiled = [importlib.util.cache_from_source(str(f)) for f in files if f.suffix == ".py"]
        for file in {*files, *filter(lambda path: (here / path).exists(), compiled)}:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            try:
                (site / file).hardlink_to((here / file).resolve())
            except OSError:  # another disk
                shutil.copy2(here / file, site / file)


@pytest.fixture(scope="module")
def built(shared_hub, tmp_path_factory):
    """A folder with a deployed Space in checkout/, and a Python with its requirements."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can start a process as another user")
    python = next(filter(works_for_nobody, PYTHONS), None)
    if not python:
        pytest.skip("this machine has no Python that every user may run")
    home = tmp_path_factory.mktemp("deployer")
    command = [sys.executable, str(REPOSITORY / "app.py"), "--deploy"]
    done = preloaded.run(command, env=shared_hub.env(home, "hf_writer"), text=True)
    assert done.returncode == 0, done.stderr
    folder = Path(tempfile.mkdtemp(prefix="space-"))  # other users cannot read pytest's folders
    for path, content in shared_hub.files(SPACE, kind="space").items():
        (folder / "checkout" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "checkout" / path).write_bytes(content)
    (folder / "tmp").mkdir()
    os.chown(folder / "tmp", NOBODY, NOBODY)
    card = (folder / "checkout" / "README.md").read_text()
    version = re.search(r"^sdk_version: (\S+)$", card, re.MULTILINE)[1]
    venv = [python, "-m", "venv", "--without-pip", str(folder / "venv")]
    subprocess.run(venv, check=True)
    own = folder / "venv" / "bin" / "python"
    site = folder / "venv" / sysconfig.get_path("platlib", vars={"platbase": ""}).lstrip("/")
    if site.exists():  # else that Python has another version
        link_installed(site)
    pip = [sys.executable, "-m", "pip", "--python", str(own), "install", "-q", "--no-compile"]
    pip += [*BUILDER, f"gradio[oauth,mcp]=={version}"]
    pip += ["-r", str(folder / "checkout" / "requirements.txt")]
    subprocess.run(pip, check=True)
    # compile the imported modules now: `nobody` could not store the result
    command = [own, "-c", "import app, train, spaces, mcp, torch._dynamo"]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run(command, cwd=folder / "checkout", env=environment, check=True)
    subprocess.run(["chmod", "-R", "a+rX,a-w", str(folder / "checkout")], check=True)
    folder.chmod(0o755)
    yield folder, own
    shutil.rmtree(folder)


@pytest.mark.slow
def test_without_write_access_it_generates_and_trains(built, browser):
    space = Space(*built)
    try:
        with visitor(browser, space, elsewhere=HEADER) as page:
            expect(page.locator("#generate")).to_be_visible(timeout=60_000)
            page.locator("#generate").click()
            expect(page.locator("#status")).to_contain_text("500 characters, ", timeout=60_000)
            page.get_by_role("tab", name="Watch").click()
            unfold_panel(page, "#form")
            page.locator("#preset label").filter(has_text="bigram").click()
            page.locator("#source label").filter(has_text="My own").click()
            paste(page.locator("#own-text textarea"), make_text())
            steps = page.locator("#option-steps input")
            steps.fill("50")
            steps.press("Tab")
            page.locator("#train").click()
            expect(page.locator("#run-head")).to_contain_text(
                "bigram-2 has finished", timeout=60_000
            )
        output = space.log.read_text()
        assert f'File "{space.checkout}' not in output  # no traceback passes through charlm
        runs = space.temporary / f"charlm-{NOBODY}"
        assert f"runs are kept in {runs}" in output
        assert (runs / "bigram-2" / "model.safetensors").exists()
    finally:
        space.stop()


@pytest.mark.slow
def test_on_zerogpu_one_event_can_use_the_gpu(built, shared_hub):
    shared_hub.requests.clear()
    folder, _ = built
    (folder / "cuda").mkdir()
    (folder / "cuda" / "sitecustomize.py").write_text(CUDA)
    zero = {
        "PYTHONPATH": str(folder / "cuda"),
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": shared_hub.url,
    }
    space = Space(*built, **zero)
    try:
        assert ("POST", "/startup-report", 200) in shared_hub.requests
        client = ApiClient(space)
        text = client.predict("ROMEO:", max_new_chars=50, api_name="/generate")
        assert len(text) == len("ROMEO:") + 50
        names = client.view_api(return_format="dict")["named_endpoints"].keys()
        assert "/generate" in names and "/gpu" not in names
        assert f'File "{space.checkout}' not in space.log.read_text()
    finally:
        space.stop()
