"""The Hub's cache on the disk: delete what a page refused, and what exceeds its limit.

A repository that the page downloads first gets a marker file. Only marked repositories are ever
deleted, so those that the user fetched for other purposes stay.
"""

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from huggingface_hub import constants, scan_cache_dir
from huggingface_hub.file_download import repo_folder_name

ATTEMPTS = 5  # to read the cache while other programs change it
MARKER = "fetched_by_charlm"  # its modification time is that of the last use


def repo_directory(repo_id):
    """Return the directory of a repository in the cache."""
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo_id, repo_type="model")


def mark(repo_id):
    """Mark a repository as the page's if the cache does not have it yet. Raises OSError."""
    directory = repo_directory(repo_id)
    if not (directory / "snapshots").exists():
        directory.mkdir(parents=True, exist_ok=True)
        (directory / MARKER).touch()


def touch(repo_id):
    """Record that a repository is used, if it is marked."""
    marker = repo_directory(repo_id) / MARKER
    if marker.exists():
        marker.touch()


def has_revision(repo_id, sha):
    """Return whether the cache has any file of a commit."""
    return (repo_directory(repo_id) / "snapshots" / sha).exists()


def delete_revision(directory, sha):
    """Delete a commit from a repository's directory, with the files that no other commit has.

    If no commit is left, the repository is deleted. Raises OSError.
    """
    cached = scan()
    # another repository, which stays, may have a commit with the same hash
    cached = replace(cached, repos=frozenset(r for r in cached.repos if r.repo_path == directory))
    cached.delete_revisions(sha).execute()
    if not any((directory / "snapshots").glob("*")):
        delete_repository(directory)


def scan():
    """Return what the cache has. Raises OSError."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(OSError):  # another program deletes files meanwhile
            return scan_cache_dir()
    return scan_cache_dir()


def delete_repository(directory):
    """Delete what is left of a repository without commits: partial files, its marker and locks."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.rmtree(directory.parent / ".locks" / directory.name, ignore_errors=True)


def size_of(directory):
    """Return the bytes of all files of a repository."""
    total = 0
    for folder, _, names in os.walk(directory):  # other programs may delete files during the walk
        for path in (Path(folder) / name for name in names):
            # a blob may be a link to a store of all repositories; other links point to blobs
            if path.parent.name == "blobs" or not path.is_symlink():
                with contextlib.suppress(OSError):
                    total += path.stat().st_size
    return total


def limit_size(most, in_use, busy=()):
    """Delete the least recently used commits of marked repositories beyond `most` bytes in all.

    `in_use`: snapshot directories that stay. `busy`: ids of repositories that stay whole, since
    they are being downloaded. Raises OSError, as when another program changes the cache.
    """
    markers = Path(constants.HF_HUB_CACHE).glob(f"models--*/{MARKER}")
    directories = [marker.parent for marker in markers]
    sizes = {directory: size_of(directory) for directory in directories}
    busy = {repo_directory(repo_id) for repo_id in busy}
    # first the outdated commits of repositories that are in use
    used = {path.parent.parent for path in in_use}
    idle = [d for d in directories if d not in busy]
    for directory in sorted(idle, key=lambda d: (d not in used, (d / MARKER).stat().st_mtime)):
        if sum(sizes.values()) <= most:
            return
        for snapshot in (directory / "snapshots").glob("*"):
            if snapshot not in in_use:
                delete_revision(directory, snapshot.name)
        if directory not in used:
            delete_repository(directory)  # also what an interrupted download left
        sizes[directory] = size_of(directory)
