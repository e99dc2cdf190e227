"""The directories of runs and downloads, for users with and without a home of their own."""

import errno
import os
from pathlib import Path

import pytest

from charlm import paths
from charlm.console import warn_once
from charlm.errors import CharlmError
from charlm.paths import checkpoints_directory, expand, is_writable, resolve, user_directories


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with two bundled models, and a user whose home and temporary files are beside."""
    for name in ("bigram", "gpt"):
        (tmp_path / "checkout/checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkout/checkpoints" / name / "config.json").write_text("{}")
    (tmp_path / "home").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in ("CHARLM_CHECKPOINTS", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(paths.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    warn_once.cache_clear()
    return tmp_path / "checkout"


@pytest.fixture
def read_only(monkeypatch):
    """Make directories read-only, for root too, who runs the tests in containers."""
    closed = []
    access = os.access

    def may(path, mode):
        return access(path, mode) and not any(Path(path).is_relative_to(c) for c in closed)

    monkeypatch.setattr(paths.os, "access", may)
    return closed


def test_runs_stay_in_a_writable_checkout(checkout, capsys):
    assert checkpoints_directory(checkout) == checkout / "checkpoints"
    assert capsys.readouterr() == ("", "")


def test_without_a_writable_checkout_runs_go_to_the_user_s_directory(checkout, read_only, capsys):
    read_only.append(checkout)
    directory = checkpoints_directory(checkout)
    assert directory == checkout.parent / "home/.local/share/charlm"
    assert (directory / "gpt").resolve() == checkout / "checkpoints/gpt"
    assert f"read-only; runs are kept in {directory}" in capsys.readouterr().err


@pytest.mark.parametrize("home", ["foreign", "unknown"])
def test_without_a_home_runs_go_to_the_temporary_files(checkout, read_only, monkeypatch, home):
    read_only.append(checkout)
    if home == "unknown":
        monkeypatch.setattr(Path, "expanduser", lambda path: (_ for _ in ()).throw(RuntimeError))
    else:
        read_only.append(checkout.parent / "home")
    directory = checkpoints_directory(checkout)
    assert directory.parent == checkout.parent / "temporary"
    assert is_writable(user_directories("cache")[-1])
    read_only.append(checkout.parent)
    with pytest.raises(CharlmError, match="read-only; set CHARLM_CHECKPOINTS to a directory"):
        checkpoints_directory(checkout)


def test_the_chosen_directory_is_expanded_and_its_links_are_resolved(checkout, monkeypatch):
    home = checkout.parent / "home"
    (home / "link").symlink_to("disk")
    monkeypatch.setenv("CHARLM_CHECKPOINTS", "~/link/runs")
    assert checkpoints_directory(checkout) == home / "disk/runs"
    (home / "loop").symlink_to("loop")
    monkeypatch.setenv("CHARLM_CHECKPOINTS", "~/loop/runs")
    with pytest.raises(CharlmError, match=r"cannot keep runs in .*loop"):
        checkpoints_directory(checkout)
    (home / "file").write_text("")
    monkeypatch.setenv("CHARLM_CHECKPOINTS", "~/file/runs")
    with pytest.raises(CharlmError, match=r"cannot keep runs in .*file/runs: Not a directory"):
        checkpoints_directory(checkout)


def test_a_user_s_files_and_links_are_never_touched(checkout, monkeypatch):
    runs = checkout.parent / "runs"
    runs.mkdir()
    (runs / "gpt").symlink_to("/media/unplugged/gpt")
    (runs / "bigram").write_text("mine")
    monkeypatch.setenv("CHARLM_CHECKPOINTS", str(runs))
    checkpoints_directory(checkout)
    assert str((runs / "gpt").readlink()) == "/media/unplugged/gpt"
    assert (runs / "bigram").read_text() == "mine"


def test_a_link_that_an_earlier_checkout_left_is_replaced(checkout, monkeypatch):
    runs = checkout.parent / "runs"
    runs.mkdir()
    (runs / "gpt").symlink_to("/old/checkout/checkpoints/gpt")
    monkeypatch.setenv("CHARLM_CHECKPOINTS", str(runs))
    for _ in range(2):
        checkpoints_directory(checkout)
        assert (runs / "gpt").resolve() == checkout / "checkpoints/gpt"


def test_without_links_the_bundled_models_are_copied(checkout, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setenv("CHARLM_CHECKPOINTS", str(checkout.parent / "runs"))
    directory = checkpoints_directory(checkout)
    assert sorted(path.name for path in directory.iterdir()) == ["bigram", "gpt"]
    assert (directory / "gpt/config.json").read_text() == "{}"


def test_paths_that_cannot_be_expanded_stay(monkeypatch):
    assert expand("~no-such-user/x") == Path("~no-such-user/x")
    assert resolve("a/../b") == Path.cwd() / "b"
