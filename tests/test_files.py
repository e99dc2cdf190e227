import errno
import os

import pytest

from charlm import console, files
from charlm.files import locked, try_lock, write_atomically


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "file"
    write_atomically(target, b"first")
    write_atomically(target, b"second")
    assert target.read_bytes() == b"second"
    assert [p.name for p in target.parent.iterdir()] == ["file"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, "text is not bytes")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def refuse(monkeypatch, capsys):
    """A function that makes a system call fail with an error number.

    It returns a function that returns the warnings printed since.
    """

    def refuse(module, name, number):
        def fail(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(module, name, fail)
        console.warn_once.cache_clear()
        return lambda: capsys.readouterr().err.splitlines()

    return refuse


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_durability_is_used_with_one_warning(tmp_path, refuse, number):
    warnings = refuse(files.os, "fsync", number)
    for raw in (b"first", b"second"):
        write_atomically(tmp_path / "file", raw)
    assert (tmp_path / "file").read_bytes() == b"second"
    (warning,) = warnings()
    assert f"the file system of {tmp_path} does not flush files" in warning


@pytest.mark.skipif(files.fcntl is None, reason="needs flock")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_used_with_one_warning(tmp_path, refuse, number):
    warnings = refuse(files.fcntl, "flock", number)
    path = tmp_path / "lock"
    for _ in range(2):
        with locked(path), path.open() as file:
            assert try_lock(file, path) is None
    (warning,) = warnings()
    assert f"the file system of {tmp_path} has no locks" in warning


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_an_error_names_the_file_that_was_written(tmp_path, refuse, number):
    refuse(files.os, "fsync", number)
    with pytest.raises(OSError, match="file") as raised:
        write_atomically(tmp_path / "file", b"x")
    assert raised.value.filename == str(tmp_path / "file")
    assert not list(tmp_path.iterdir())
