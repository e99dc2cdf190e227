"""The endpoints of the loopback Hub, those that huggingface_hub calls."""

import base64
import json
import re
from pathlib import PurePosixPath

import yaml
from loopback_repo import (
    Refused,
    Repo,
    allow,
    card_of,
    entry,
    git_hash,
    is_large,
    now,
    sha256,
    unauthorized,
)
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
SDKS = ["gradio", "docker", "static"]
COLORS = ["red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"]
API = "/api/{kinds}/{owner}/{name}"
GIT = "{owner}/{name}.git/info/lfs/objects"
FILE = "{owner}/{name}/resolve/{revision}/{path:path}"
STORED = "{kinds}/{owner}/{name}/{oid}"
ROUTES = []


def serves(methods, *paths):
    def register(handler):
        ROUTES.extend((methods.split(), path, handler) for path in paths)
        return handler

    return register


def route(hub, methods, path, handler):
    async def endpoint(request):
        body, kind = await request.body(), request.headers.get("content-type", "")
        if "json" in kind and "ndjson" not in kind:
            body = json.loads(body)
        answer = handler(hub, request, body)
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    return Route(path, endpoint, methods=methods)


@serves("GET", "/api/whoami-v2")
def whoami(hub, request, _):
    if (account := hub.account(request)) is None:
        raise unauthorized(code=None)
    auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}}
    return {"type": "user", "name": account.user, "fullname": "", "orgs": [], "auth": auth}


@serves("POST", "/api/validate-yaml")
def validate_yaml(hub, request, body):
    allowed = {"sdk": SDKS, "colorFrom": [*COLORS, None], "colorTo": [*COLORS, None]}
    try:
        card = card_of(body["content"])
    except yaml.YAMLError as error:
        errors = [str(error)]
    else:
        allowed = allowed if body["repoType"] == "space" else {}
        errors = [f'"{k}" must be one of {v}' for k, v in allowed.items() if card.get(k) not in v]
        if len(card.get("short_description", "")) > 60:
            errors += ['"short_description" length must be less than or equal to 60 characters']
    missing = [] if errors or card else ["empty or missing yaml metadata in repo card"]
    answer = {"errors": errors, "warnings": missing}
    answer = {k: [{"message": text} for text in v] for k, v in answer.items()}
    return JSONResponse(answer, 400 if errors else 200)


@serves("POST", "/api/repos/create")
def create(hub, request, body):
    if (account := hub.account(request)) is None:
        raise unauthorized(code=None)
    owner = body.get("organization") or account.user
    allow(account, owner)
    kind, repo_id = body.get("type", "model"), f"{owner}/{body['name']}"
    answer = {"url": f"{hub.url}/{PREFIXES[kind]}{repo_id}", "name": repo_id}
    if (kind, repo_id) in hub.repos:
        return JSONResponse(answer | {"error": f"You already created this {kind} repo"}, 409)
    repo = Repo(kind, repo_id, body.get("sdk"), body.get("visibility") == "private")
    repo.variables = {v["key"]: v for v in body.get("variables") or []}
    repo.secrets = {v["key"]: v for v in body.get("secrets") or []}
    hub.repos[kind, repo_id] = repo
    return answer


@serves("DELETE", "/api/repos/delete")
def delete(hub, request, body):
    account = hub.account(request)
    owner = body.get("organization") or (account and account.user)
    at = {"kinds": body.get("type", "model") + "s", "owner": owner, "name": body["name"]}
    request.path_params.update(at)
    repo = hub.writable(request)
    del hub.repos[repo.kind, repo.id]
    return {}


@serves("GET", "/api/models")
def list_models(hub, request, _):
    account, query, found = hub.account(request), request.query_params, []
    for repo in hub.repos.values():
        description = repo.describe(repo.at("main"))
        hidden = repo.private and (account is None or account.user != repo.owner)
        fits = set(query.getlist("filter")) <= set(description["tags"])
        fits = fits and query.get("author", repo.owner) == repo.owner
        if repo.kind == "model" and fits and not hidden:
            found.append(description)
    return found[: int(query.get("limit", len(found)))]


@serves("GET", API, API + "/revision/{revision:path}")
def info(hub, request, _):
    repo = hub.readable(request)
    commit = repo.at(request.path_params.get("revision", "main"))
    answer = repo.describe(commit)
    if request.query_params.get("blobs"):
        answer["siblings"] = [
            {"rfilename": path, "size": len(content)} for path, content in commit.files.items()
        ]
    expand = request.query_params.getlist("expand")
    return {k: v for k, v in answer.items() if not expand or k in {"id", *expand}}


@serves("GET", API + "/tree/{revision}", API + "/tree/{revision}/{folder:path}")
def tree(hub, request, _):
    files = hub.readable(request).at(request.path_params["revision"]).files
    top = request.path_params.get("folder", "").strip("/")
    within, answer = PurePosixPath(top), {}
    for path, content in sorted(files.items()):
        parents = PurePosixPath(path).parents
        if within in parents:
            for folder in parents[: parents.index(within)]:
                oid = git_hash(str(folder).encode())
                answer[folder] = {"type": "directory", "path": str(folder), "size": 0, "oid": oid}
            answer[PurePosixPath(path)] = entry(path, content)
    if top and not answer:
        raise Refused(404, "Entry not found", "EntryNotFound")
    every = request.query_params.get("recursive") == "true"
    return [v for k, v in answer.items() if every or k.parent == within]


@serves("GET", API + "/commits/{revision}")
def commits(hub, request, _):
    repo = hub.readable(request)
    past = repo.commits[: repo.commits.index(repo.at(request.path_params["revision"])) + 1]
    return [
        {"id": c.sha, "title": c.message, "message": "", "date": c.date}
        | {"authors": [{"user": c.author}]}
        for c in reversed(past)
    ]


@serves("POST", API + "/preupload/{revision}")
def preupload(hub, request, body):
    old, answer = hub.writable(request).at(request.path_params["revision"]).files, []
    for file in body["files"]:
        path, large = file["path"], is_large(file["path"], file["size"])
        answer.append({"path": path, "uploadMode": "lfs" if large else "regular"})
        oid = (sha256 if large else git_hash)(old[path]) if path in old else None
        answer[-1] |= {"shouldIgnore": False, "oid": oid}
    return {"files": answer}


@serves("POST", API + "/commit/{revision}")
def commit(hub, request, body):
    repo = hub.writable(request)
    head, changes = repo.at(request.path_params["revision"]), {}
    for line in map(json.loads, body.splitlines()):
        key, value = line["key"], line["value"]
        if key == "header":
            message = value["summary"]
            if not head.sha.startswith(value.get("parentCommit", "")):
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
        elif key == "file":
            changes[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in repo.lfs:
                raise Refused(400, f"LFS pointer to a file that was not uploaded: {value['path']}")
            changes[value["path"]] = repo.lfs[value["oid"]]
        else:
            inside = value["path"].rstrip("/") + "/" if key == "deletedFolder" else None
            gone = [
                p for p in head.files if p == value["path"] or (inside and p.startswith(inside))
            ]
            if not gone:
                raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
            changes |= dict.fromkeys(gone)
    made = repo.commit(message, hub.account(request).user, changes)
    url = f"{hub.url}/{PREFIXES[repo.kind]}{repo.id}/commit/{made.sha}"
    return {"success": True, "commitOid": made.sha, "commitUrl": url, "hookOutput": ""}


def storage(hub, verb, repo):
    return f"http://localhost:{hub.port}/{verb}/{repo.kind}s/{repo.id}"


@serves("POST", f"/{GIT}/batch", f"/{{kinds}}/{GIT}/batch")
def lfs_batch(hub, request, body):
    repo, answer = hub.writable(request), []
    verify = {"href": hub.url + request.url.path.replace("/batch", "/verify")}
    for wanted in body["objects"]:
        file = {"oid": wanted["oid"], "size": wanted["size"]}
        if file["oid"] not in repo.lfs:
            upload = {"href": f"{storage(hub, 'upload', repo)}/{file['oid']}"}
            file["actions"] = {"upload": upload, "verify": verify}
        answer.append(file)
    return {"transfer": "basic", "objects": answer}


@serves("POST", f"/{GIT}/verify", f"/{{kinds}}/{GIT}/verify")
def lfs_verify(hub, request, body):
    if len(hub.writable(request).lfs.get(body["oid"], b"")) != body["size"]:
        raise Refused(404, "Object does not exist")
    return {}


@serves("PUT", f"/upload/{STORED}")
def lfs_upload(hub, request, content):
    if sha256(content) != request.path_params["oid"]:
        raise Refused(400, "The content does not have the sha256 it was announced with")
    hub.named(request).lfs[sha256(content)] = bytes(content)
    return {}


@serves("GET", f"/{FILE}", f"/{{kinds}}/{FILE}")
def resolve(hub, request, _):
    repo, account, path = hub.readable(request), hub.account(request), request.path_params["path"]
    if repo.gated and (account is None or account.user not in {repo.owner, *repo.granted}):
        status = 403 if account else 401
        raise Refused(status, f"Access to model {repo.id} is restricted.", "GatedRepo")
    at = repo.at(request.path_params["revision"])
    headers = {"X-Repo-Commit": at.sha}
    if path not in at.files:
        raise Refused(404, "Entry not found", "EntryNotFound", **headers)
    content = at.files[path]
    headers["ETag"] = f'"{git_hash(content)}"'
    if not is_large(path, len(content)):
        return ranged(request, content, headers)
    oid = sha256(content)
    headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{oid}"'}
    return Response(b"", 302, headers | {"Location": f"{storage(hub, 'cdn', repo)}/{oid}/{path}"})


@serves("GET", f"/cdn/{STORED}/{{path:path}}")
def lfs_download(hub, request, _):
    if "authorization" in request.headers:
        raise Refused(400, "Only one auth mechanism allowed")  # the URL is signed already
    oid = request.path_params["oid"]
    return ranged(request, hub.named(request).lfs[oid], {"ETag": f'"{oid}"'})


def ranged(request, content, headers):
    """Return the content, or the range of it that was requested."""
    requested = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    size, headers = len(content), headers | {"Accept-Ranges": "bytes"}
    if not requested:
        return Response(content, 200, headers)
    start = int(requested[1])
    part = content[start : int(requested[2] or size) + 1]
    if not part:
        return Response(b"", 416, {"Content-Range": f"bytes */{size}"})
    position = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{size}"}
    return Response(part, 206, headers | position)


@serves("GET POST DELETE", API + "/variables", API + "/secrets")
def settings(hub, request, body):
    repo, secret = hub.writable(request), request.url.path.endswith("/secrets")
    values = repo.secrets if secret else repo.variables
    if request.method == "POST":
        values[body["key"]] = body | {"updatedAt": now()}
    elif request.method == "DELETE":
        values.pop(body["key"], None)
    return {k: {f: v[f] for f in v if not (secret and f == "value")} for k, v in values.items()}


@serves("GET", API + "/runtime")
def runtime(hub, request, _):
    return hub.readable(request).runtime()


@serves("POST", "/startup-report")
def startup_report(hub, request, _):  # the package `spaces` reports to ZeroGPU
    return {}
