"""The proxies that the environment names: not for this machine, and only usable ones."""

import os

import httpx

from charlm.console import warn_once

VARIABLES = ("http_proxy", "https_proxy", "all_proxy")  # or in capital letters


def prepare_proxies():
    """Change the environment so that Gradio, which the proxies concern too, can serve a page.

    Call it before gradio is imported: it fails then if a proxy cannot be used.
    """
    unusable = [
        name
        for name, value in os.environ.items()
        if name.lower() in VARIABLES and value and not is_usable(value)
    ]
    for name in unusable:
        del os.environ[name]
    if unusable:
        names = ", ".join(sorted(unusable))
        warn_once(f"no proxy can be used as {names} says: the Hub is asked directly, if at all")
    keep_loopback_direct()


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
