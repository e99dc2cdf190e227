"""The repositories of the loopback Hub."""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple

import yaml
from starlette.responses import JSONResponse

LARGE = 5_000_000  # bytes


class Account(NamedTuple):
    """The owner and the role of a token, "read" or "write"."""

    user: str
    role: str


class Refused(Exception):
    """An error response; `code` determines which exception the client raises."""

    def __init__(self, status, message, code=None, **headers):
        headers |= {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer = JSONResponse({"error": message}, status, headers)


def allow(account, owner):
    if account.role != "write":
        raise Refused(403, "Forbidden: you must use a write token to upload to a repository.")
    if account.user != owner:
        raise Refused(403, f"You don't have the rights to write under the namespace {owner}")


def unauthorized(code="RepoNotFound"):
    # huggingface.co sends no code here: the client infers it from the https URL
    return Refused(401, "Invalid username or password.", code)


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_large(path, size):
    return size > LARGE or (path.endswith(".safetensors") and size > 0)


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def card_of(text):
    """Return the metadata at the top of a README.md."""
    found = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    card = yaml.safe_load(found[1]) if found else None
    return card if isinstance(card, dict) else {}


def entry(path, content):
    fields = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
    if is_large(path, len(content)):
        fields["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
    return fields


@dataclass
class Commit:
    message: str
    author: str
    files: dict
    sha: str = field(default_factory=lambda: secrets.token_hex(20))
    date: str = field(default_factory=now)


@dataclass
class Repo:
    kind: str
    id: str
    sdk: str | None = None
    private: bool = False
    gated: bool = False
    granted: set = field(default_factory=set)  # users with access to a gated repository
    commits: list = field(default_factory=list)  # oldest first
    lfs: dict = field(default_factory=dict)  # sha256 -> content
    refs: dict = field(default_factory=dict)  # name of a branch besides main -> sha of its commit
    variables: dict = field(default_factory=dict)  # key -> {"value": ...}; of a Space
    secrets: dict = field(default_factory=dict)
    stage: str = "RUNNING"

    def __post_init__(self):
        first = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}
        if self.kind == "space":
            first["README.md"] = f"---\nsdk: {self.sdk}\n---\n".encode()
        self.commits.append(Commit("initial commit", "system", first))

    @property
    def owner(self):
        return self.id.split("/")[0]

    def at(self, revision):
        revision = self.refs.get(revision, revision)
        for commit in reversed(self.commits):
            if revision == "main" or (len(revision) >= 7 and commit.sha.startswith(revision)):
                return commit
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def commit(self, message, author, changes):
        """Add a commit that writes the files in `changes`, and deletes those that are None."""
        files = {k: v for k, v in (self.commits[-1].files | changes).items() if v is not None}
        self.lfs |= {sha256(v): v for k, v in files.items() if is_large(k, len(v))}
        self.commits.append(Commit(message, author, files))
        return self.commits[-1]

    def describe(self, commit):
        card = card_of(commit.files.get("README.md", b"").decode())
        fields = {k: card[k] for k in ("library_name", "pipeline_tag") if card.get(k)}
        tags = [*(card.get("tags") or []), *fields.values()]
        tags += [f"license:{card['license']}"] if card.get("license") else []
        fields |= {"id": self.id, "author": self.owner, "sha": commit.sha, "tags": tags}
        fields |= {"private": self.private, "gated": "manual" if self.gated else False}
        fields |= {"createdAt": self.commits[0].date, "lastModified": commit.date, "cardData": card}
        fields["siblings"] = [{"rfilename": path} for path in sorted(commit.files)]
        return fields | ({"sdk": self.sdk, "runtime": self.runtime()} if self.sdk else {})

    def runtime(self):
        hardware = {"current": "cpu-basic", "requested": "cpu-basic"}
        return {"stage": self.stage, "hardware": hardware, "gcTimeout": 172800, "storage": None}
