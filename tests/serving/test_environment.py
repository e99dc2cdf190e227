"""The environment of a page on odd machines."""

import importlib
import importlib.util
import os
import subprocess
import sys

import pytest
from programs import REPOSITORY

from charlm.config import ConfigError
from charlm.console import warn_once
from charlm.serving import environment
from charlm.serving.environment import prepare_environment


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """An environment without the variables in question, which is restored afterwards."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("GRADIO_"):
            del os.environ[name]
    warn_once.cache_clear()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "localhost,127.0.0.1,::1"),
        ("example.org, 127.0.0.1", "example.org,127.0.0.1,localhost,::1"),
        ("*", "*"),
    ],
)
def test_this_machine_is_reached_without_a_proxy(before, after):
    os.environ["NO_PROXY"] = before
    prepare_environment()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == after


@pytest.mark.parametrize(
    "proxy", ["socks9://h", "http://[::1", "http://user:secret@host:port", "ftp://x", "::::"]
)
@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_cannot_be_used_is_dropped(name, proxy, capsys):
    os.environ |= {name: proxy, "https_proxy": "127.0.0.1:8080"}
    prepare_environment()
    assert name not in os.environ
    assert os.environ["https_proxy"] == "127.0.0.1:8080"
    warning = capsys.readouterr().err
    assert f"no proxy can be used as {name} says" in warning
    assert "secret" not in warning


@pytest.mark.parametrize("port", ["http", "-1", "0", "65536", "9" * 5000, "7860.0"])
def test_a_bad_port_is_named(port):
    os.environ["GRADIO_SERVER_PORT"] = port
    with pytest.raises(ConfigError, match=r"GRADIO_SERVER_PORT is .*; it must be a number"):
        prepare_environment()


def test_an_empty_port_is_the_default():
    os.environ["GRADIO_SERVER_PORT"] = " "
    prepare_environment()
    assert "GRADIO_SERVER_PORT" not in os.environ


def test_uploads_go_elsewhere_if_gradio_s_directory_is_another_user_s(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.tempfile, "gettempdir", lambda: str(tmp_path))
    prepare_environment()
    assert "GRADIO_TEMP_DIR" not in os.environ
    (tmp_path / "gradio").write_text("not a directory")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    prepare_environment()
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "cache/charlm/gradio")


def test_a_missing_matplotlib_is_not_searched_for_again(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    prepare_environment()
    assert sys.modules["matplotlib"] is None
    with pytest.raises(ImportError):
        importlib.import_module("matplotlib")


def test_an_installed_matplotlib_can_be_imported(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "matplotlib.py").touch()
    prepare_environment()
    assert importlib.import_module("matplotlib").__file__ == str(tmp_path / "matplotlib.py")


def test_gradio_is_imported_without_its_files_for_editors():
    program = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from charlm.serving.environment import prepare_environment
prepare_environment()
prepare_environment()
import gradio
assert gradio.Textbox().submit and gradio.Blocks.load
print([path for path in opened if path.endswith(".pyi")])
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
