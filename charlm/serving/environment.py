"""The environment variables with which Gradio can serve a page on this machine."""

import importlib.util
import os
import sys
import tempfile
from importlib.machinery import PathFinder
from pathlib import Path

import httpx

from charlm.config import require
from charlm.console import warn_once
from charlm.paths import is_writable, user_directories
from charlm.serving.clients import trust_proxies

PROXIES = ("http_proxy", "https_proxy", "all_proxy")  # or in capital letters
NAME, PORT = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"
UPLOADS = "GRADIO_TEMP_DIR"


def prepare_environment():
    """Set what the page needs, and drop what would end it. Raises ConfigError for a bad port.

    Call it before gradio is imported, which reads these variables then.
    """
    trust_proxies()
    drop_unusable_proxies()
    keep_loopback_direct()
    check_port()
    choose_upload_directory()
    skip_if_missing("matplotlib")  # Gradio tries it before and after each update of a text
    if WithoutStubs not in sys.meta_path:
        sys.meta_path.insert(0, WithoutStubs)


def skip_if_missing(package):
    """Make the import of a package fail at once if it is missing.

    Python would search all directories for it each time.
    """
    if importlib.util.find_spec(package) is None:
        sys.modules[package] = None


class WithoutStubs:
    """Imports Gradio without the .pyi files that it writes for editors beside its components.

    To write them, it parses the source of each component, nearly half of the time of its import.
    """

    @staticmethod
    def find_spec(name, path, target=None):
        """Return the spec of Gradio's module that writes them; None for any other module."""
        if name != "gradio.component_meta" or not (spec := PathFinder.find_spec(name, path)):
            return None
        execute = spec.loader.exec_module

        def execute_without_stubs(module):
            execute(module)
            module.create_or_modify_pyi = lambda *_: None

        spec.loader.exec_module = execute_without_stubs
        return spec


def drop_unusable_proxies():
    """Drop proxies that the HTTP client does not take: gradio could not even be imported."""
    proxies = {name: value for name, value in os.environ.items() if name.lower() in PROXIES}
    unusable = sorted(name for name, value in proxies.items() if value and not is_usable(value))
    for name in unusable:
        del os.environ[name]
    if unusable:
        names = ", ".join(unusable)
        warn_once(f"no proxy can be used as {names} says: the Hub is asked directly, if at all")


def is_usable(proxy):
    """Return whether the HTTP client takes a proxy; it may lack the package for SOCKS."""
    try:
        httpx.Client(proxy=proxy if "://" in proxy else f"http://{proxy}").close()
    except Exception:  # of any kind
        return False
    return True


def keep_loopback_direct():
    """Exempt this machine from the proxies: Gradio requests its own page."""
    exempt = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name for name in exempt.replace(" ", ",").split(",") if name]
    if "*" not in names:
        names += [name for name in ("localhost", "127.0.0.1", "::1") if name not in names]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(names)


def check_port():
    """Raise ConfigError unless the port is one; an empty variable is the default."""
    port = os.environ.get(PORT, "").strip()
    if not port:
        os.environ.pop(PORT, None)
        return
    valid = port.isdecimal() and len(port) <= 5 and 0 < int(port) < 2**16
    require(valid, PORT, port, "a number from 1 to 65,535")


def address_error():
    """Return why Gradio found no address to serve the page at."""
    name, port = os.environ.get(NAME) or "127.0.0.1", os.environ.get(PORT) or "7860"
    return (
        f"cannot serve the page at {name}, port {port} or one of the next: it is no address of this"
        f" machine, or no port is free; set {NAME} and {PORT}"
    )


def choose_upload_directory():
    """Choose another directory for uploads if Gradio's belongs to another user of the machine."""
    if not os.environ.get(UPLOADS) and not is_writable(Path(tempfile.gettempdir()) / "gradio"):
        own = [directory / "gradio" for directory in user_directories("cache")]
        os.environ[UPLOADS] = str(next(filter(is_writable, own), own[-1]))
