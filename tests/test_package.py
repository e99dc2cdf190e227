"""The public names of the package, its layout, and the style of the code."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from programs import REPOSITORY

import charlm
from charlm.config import ConfigError

# a module imports only from packages to its left; those in one string do not import each other
ORDER = ["errors console", "config", "presets", "rng files paths rounding", "data", "models"]
ORDER += ["training generation", "inspection", "runs", "api", "hub", "serving", "ui", "bench"]
LAYER = {package: layer for layer, packages in enumerate(ORDER) for package in packages.split()}
HUB_CLIENT = {"hub", "models/pretrained.py"}  # these may import huggingface_hub


PACKAGE = REPOSITORY / "charlm"


def imports_of(path):
    """Yield the modules that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_files():
    return [p for p in (REPOSITORY / "charlm").rglob("*.py") if p != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", package_files(), ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_a_module_imports_only_from_packages_to_its_left(path):
    inside = path.relative_to(PACKAGE)
    own = inside.parts[0].removesuffix(".py")
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        if top == "charlm" and rest:
            package = rest.split(".")[0]
            assert package in LAYER, f"{package} has no place in the layout"
            assert package == own or LAYER[package] < LAYER[own], f"{own} imports {package}"
        assert top != "gradio" or own == "ui"
        assert top != "huggingface_hub" or {own, inside.as_posix()} & HUB_CLIENT


def test_the_app_imports_the_page_and_train_does_not():
    assert not {
        n for n in imports_of(REPOSITORY / "train.py") if n.startswith(("gradio", "charlm.ui"))
    }
    assert "charlm.ui" in set(imports_of(REPOSITORY / "app.py"))


@pytest.mark.slow
def test_importing_has_no_side_effects():
    """No thread, no socket, no file opened for writing, no device chosen."""
    watcher = """
import sys, threading
import gradio, safetensors.torch, torch, torch._dynamo, tqdm  # their side effects do not count
import json
actions = []
def watch(event, args):
    if event.startswith("socket.") or event == "open" and "w" in str(args[1] or ""):
        actions.append(str((event, args)))
threads = threading.active_count()
sys.dont_write_bytecode = True
sys.addaudithook(watch)
import charlm, charlm.ui, app, train
actions += ["a thread"] * (threading.active_count() - threads)
actions += ["cuda"] * torch.cuda.is_initialized()
print(json.dumps(actions))
"""
    done = subprocess.run(
        [sys.executable, "-c", watcher], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_generate_continues_the_prompt(model_directory):
    model, tokenizer = charlm.load(model_directory)
    text = charlm.generate(model, tokenizer, "KING:\n", max_new_chars=40, seed=1)
    assert text.startswith("KING:\n")
    assert len(text) == 46
    assert text == charlm.generate(model, tokenizer, "KING:\n", max_new_chars=40, seed=1)
    assert text != charlm.generate(model, tokenizer, "KING:\n", max_new_chars=40)


def test_stream_yields_what_generate_returns(model_directory):
    model, tokenizer = charlm.load(str(model_directory))
    pieces = list(charlm.stream(model, tokenizer, "KING:", 20, 1.0, 5, 0.9, 0.01, seed=3))
    assert len(pieces) == 21
    settings = {"temperature": 1.0, "top_k": 5, "top_p": 0.9, "min_p": 0.01, "seed": 3}
    assert "".join(pieces) == charlm.generate(model, tokenizer, "KING:", 20, **settings)


def test_an_empty_prompt_is_continued(model_directory):
    model, tokenizer = charlm.load(model_directory)
    assert len(charlm.generate(model, tokenizer, "", max_new_chars=10, seed=0)) == 10


def test_unknown_characters_are_dropped_with_a_warning(model_directory):
    model, tokenizer = charlm.load(model_directory)
    with pytest.warns(UserWarning, match="does not know '😀'"):
        text = charlm.generate(model, tokenizer, "KING😀:", max_new_chars=1, seed=0)
    assert text.startswith("KING:")


@pytest.mark.parametrize(
    "settings", [{"max_new_chars": 0}, {"max_new_chars": -1}, {"temperature": -1.0}, {"top_p": 2}]
)
def test_a_bad_setting_is_refused_at_once(model_directory, settings):
    model, tokenizer = charlm.load(model_directory)
    with pytest.raises(ConfigError):
        charlm.stream(model, tokenizer, "KING:", **settings)


def test_style():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_files_and_functions_stay_short():
    for path in [*package_files(), *REPOSITORY.glob("*.py")]:
        lines = path.read_text().splitlines()
        assert len(lines) <= 300, f"{path.name} is long"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 40, f"{path.name}: {node.name} is long"


def test_the_top_level_has_no_other_files():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    top = {Path(name).parts[0] for name in tracked.stdout.splitlines()}
    known = {"app.py", "train.py", "charlm", "checkpoints", "tests", "requirements.txt"}
    known |= {"README.md", "SECURITY.md", "LICENSE", "pyproject.toml", "docs"}
    assert {name for name in top if not name.startswith(".")} <= known
