"""The loopback Hub answers the real huggingface_hub, in separate processes, as the Hub does."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from loopback_hub import running_hub

WEIGHTS = bytes(range(256)) * 16
MODEL = {"config.json": b'{"n_layer": 2}', "model.safetensors": WEIGHTS}
START = """
import json
from pathlib import Path
from huggingface_hub import HfApi, ModelCard, hf_hub_download, snapshot_download

api = HfApi()

def error(call, *args, **options):
    try:
        call(*args, **options)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        return [type(error).__name__, status]
    return None

def report(*values):
    print(json.dumps(values, default=str))

"""


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def client(hub, tmp_path):
    def run(script, token="hf_writer", home="home", **variables):
        env = hub.env(tmp_path / home, token) | variables
        command = [sys.executable, "-c", START + textwrap.dedent(script)]
        options = {"capture_output": True, "text": True, "timeout": 240, "cwd": tmp_path}
        done = subprocess.run(command, env=env, check=False, **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def statuses(hub, method, part):
    return [status for m, path, status in hub.requests if m == method and part in path]


def write(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_push_twice_and_pull_each_revision(hub, client, tmp_path):
    write(tmp_path / "small", MODEL)
    values = client("""
        who = api.whoami()["name"]
        url = api.create_repo("ann/small")
        again = [error(api.create_repo, "ann/small"), api.create_repo("ann/small", exist_ok=True)]
        first = api.upload_folder(repo_id="ann/small", folder_path="small").oid
        same = api.upload_folder(repo_id="ann/small", folder_path="small").oid
        Path("small/config.json").write_text("{}")
        second = api.upload_folder(repo_id="ann/small", folder_path="small", commit_message="2nd")
        stale = error(api.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id="ann/small",
                      parent_commit=first)
        report(who, url, again, first, same, second.oid, stale)
    """)
    who, url, again, first, same, second, stale = values
    assert (who, url) == ("ann", f"{hub.url}/ann/small")
    assert again == [["HfHubHTTPError", 409], url]
    assert first == same != second
    assert stale == ["HfHubHTTPError", 412]
    assert statuses(hub, "PUT", "/upload/") == [200]  # the unchanged weights only once
    assert [c.message for c in hub.repo("ann/small").commits][2:] == ["2nd"]
    assert hub.files("ann/small", first).items() >= MODEL.items()
    values = client(f"""
        info = api.model_info("ann/small", timeout=20)
        def content(folder):
            names = ("config.json", "model.safetensors")
            return [Path(folder, name).read_bytes().hex() for name in names]
        report([info.sha, info.private, [s.rfilename for s in info.siblings]],
            [c.commit_id for c in api.list_repo_commits("ann/small")][:2],
            api.list_repo_files("ann/small"),
            [f.lfs and f.lfs.sha256 for f in api.list_repo_tree("ann/small")],
            content(snapshot_download("ann/small")),
            content(snapshot_download("ann/small", revision="{first}", local_dir="pulled")),
            Path(hf_hub_download("ann/small", "config.json", revision="{first}")).read_text(),
            [error(api.model_info, "ann/small", revision="v9"),
             error(hf_hub_download, "ann/small", "nothing.txt"),
             api.file_exists("ann/small", "nothing.txt"),
             api.file_exists("ann/small", "model.safetensors")])
    """)
    names = [".gitattributes", "config.json", "model.safetensors"]
    assert values[0] == [second, False, names]
    assert values[1] == [second, first]
    assert values[2] == names
    assert values[3][:2] == [None, None]
    assert len(values[3][2]) == 64
    assert values[4] == [b"{}".hex(), WEIGHTS.hex()]
    assert values[5] == [MODEL["config.json"].hex(), WEIGHTS.hex()]
    assert values[6] == MODEL["config.json"].decode()
    errors = [["RevisionNotFoundError", 404], ["RemoteEntryNotFoundError", 404]]
    assert values[7] == [*errors, False, True]


def test_tokens_restrict_reading_and_writing(hub, client):
    hub.add("ann/secret", MODEL, private=True)
    hub.add("ann/gated", MODEL, gated=True)
    hub.add("ann/open", MODEL)
    script = """
        report(error(api.whoami),
            error(api.model_info, "ann/secret"),
            error(hf_hub_download, "ann/gated", "config.json"),
            error(snapshot_download, "ann/open"),
            error(api.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id="ann/open"),
            error(api.create_repo, "ann/new"),
            error(api.model_info, "ann/missing"))
    """
    values = client(script, token="hf_reader")
    assert values[:4] == [None, None, None, None]
    assert values[4:] == [["HfHubHTTPError", 403]] * 2 + [["RepositoryNotFoundError", 404]]
    values = client(script, token="hf_other", home="other")
    missing, forbidden = ["RepositoryNotFoundError", 404], ["HfHubHTTPError", 403]
    assert values[:4] == [None, missing, ["GatedRepoError", 403], None]
    assert values[4:] == [forbidden, forbidden, missing]
    values = client(script, token=None, home="nobody")
    missing = ["RepositoryNotFoundError", 401]
    assert values[:4] == [["LocalTokenNotFoundError", None], missing, ["GatedRepoError", 401], None]
    assert values[4:] == [missing, ["HfHubHTTPError", 401], missing]
    values = client(script, token="hf_wrong", home="wrong")
    assert values == [["HfHubHTTPError", 401]] * 7
    assert len(hub.repo("ann/open").commits) == 2


def test_errors_are_retried_or_raised(hub, client, tmp_path):
    hub.add("ann/small", MODEL)
    write(tmp_path / "small", {"config.json": b"{}", "model.safetensors": WEIGHTS[::-1]})
    hub.fail("GET /api/models/ann/small/revision", 500)
    hub.fail("/preupload/", 429, headers={"Retry-After": "1"})
    hub.fail("PUT /upload/", 503)
    hub.fail("HEAD /ann/small/resolve", 503)
    hub.fail("/api/models/ann/small/commit/", 500)
    values = client("""
        info = error(api.model_info, "ann/small", revision="main")
        push = dict(repo_id="ann/small", folder_path="small")
        report(info, error(api.upload_folder, **push), error(api.upload_folder, **push),
            error(hf_hub_download, "ann/small", "config.json"))
    """)
    assert values == [["HfHubHTTPError", 500], ["HfHubHTTPError", 500], None, None]
    assert statuses(hub, "POST", "/preupload/") == [429, 200, 200]
    assert statuses(hub, "PUT", "/upload/") == [503, 200]  # the second push need not upload them
    assert statuses(hub, "POST", "/commit/") == [500, 200]
    assert statuses(hub, "HEAD", "/resolve/") == [503, 200]


def test_an_interrupted_download_continues(hub, client):
    large = os.urandom(256) * 50_000
    hub.add("ann/small", {"model.safetensors": large, "config.json": b"{}" * 500})
    hub.cut("/cdn/.*model.safetensors", 11_000_000)
    hub.cut("config.json", 300)
    values = client("""
        path = Path(hf_hub_download("ann/small", "model.safetensors"))
        again = Path(hf_hub_download("ann/small", "config.json"))
        left = [p.name for p in path.parents[2].rglob("*.incomplete")]
        report(path.stat().st_size, again.stat().st_size, left)
    """)
    assert values == [len(large), 1000, []]
    assert statuses(hub, "GET", "/cdn/") == [200, 206]
    assert statuses(hub, "GET", "config.json") == [200, 200]  # small files restart
    hub.cut("config.json", 300, reset=True)
    script = 'report(error(hf_hub_download, "ann/small", "config.json"))'
    assert client(script, home="other") == [["ReadError", None]]


def test_an_interrupted_upload_is_retried_but_a_lost_commit_is_not(hub, client, tmp_path):
    write(tmp_path / "small", {"config.json": b"{}", "model.safetensors": WEIGHTS * 400})
    hub.add("ann/small", {})
    hub.cut("PUT /upload/", 100_000)
    hub.lose("/commit/")
    script = 'report(error(api.upload_folder, repo_id="ann/small", folder_path="small"))'
    assert client(script) == [["RemoteProtocolError", None]]
    assert statuses(hub, "PUT", "/upload/") == [None, 200]
    assert statuses(hub, "POST", "/commit/") == [None]
    assert hub.files("ann/small")["model.safetensors"] == WEIGHTS * 400
    assert client(script) == [None]  # nothing is left to commit
    assert len(hub.repo("ann/small").commits) == 3


def test_a_slow_or_absent_hub(hub, client):
    hub.add("ann/small", MODEL)
    hub.delay("/api/models/ann/small", 3, times=1)
    values = client("""
        report(error(api.model_info, "ann/small", timeout=1), snapshot_download("ann/small"))
    """)
    assert values[0] == ["ReadTimeout", None]
    hub.stop()
    script = 'report(error(api.model_info, "ann/small"), error(snapshot_download, "ann/small"))'
    assert client(script) == [["ConnectError", None], None]  # from its cache
    errors = [["ConnectError", None], ["LocalEntryNotFoundError", None]]
    assert client(script, home="other") == errors
    hub.start()
    assert client(script, home="other") == [None, None]


def test_a_space_and_a_card(hub, client):
    card = b"---\ntags: [charlm]\nlicense: mit\nlibrary_name: charlm\n---\n# small\n"
    hub.add("ann/small", {"README.md": card})
    values = client("""
        api.create_repo("ann/demo", repo_type="space", space_sdk="gradio", private=True)
        api.upload_file(path_or_fileobj=b"import charlm", path_in_repo="app.py",
                        repo_id="ann/demo", repo_type="space")
        api.add_space_variable("ann/demo", "MODEL", "ann/small")
        api.add_space_secret("ann/demo", "KEY", "hidden")
        variables = {k: v.value for k, v in api.get_space_variables("ann/demo").items()}
        runtime = api.get_space_runtime("ann/demo")
        space = api.repo_info("ann/demo", repo_type="space")
        card = ModelCard.load("ann/small")
        card.data.license = "apache-2.0"
        card.push_to_hub("ann/small")
        found = [m.id for m in api.list_models(author="ann", filter="charlm")]
        bad = dict(path_or_fileobj=b"---\\ncolorFrom: mauve\\n---", path_in_repo="README.md")
        bad = error(api.upload_file, **bad, repo_id="ann/demo", repo_type="space")
        api.delete_repo("ann/demo", repo_type="space")
        exists = api.repo_exists("ann/demo", repo_type="space")
        report(variables, [runtime.stage, space.sdk, space.private], found, bad, exists)
    """)
    assert values[0] == {"MODEL": "ann/small"}
    assert values[1] == ["RUNNING", "gradio", True]
    assert values[2:] == [["ann/small"], ["ValueError", None], False]
    assert b"license: apache-2.0" in hub.files("ann/small")["README.md"]
