"""The names under which the page may be requested.

A browser that was led to resolve a foreign name to this machine (DNS rebinding) sends that name as
the `Host` of its requests. Refusing it keeps other websites from using a page on loopback.
"""

import contextlib
import ipaddress
import os
from urllib.parse import urlsplit

from charlm.errors import quote
from charlm.serving.asgi import HTTP_PREFIX, header, refuse, route_of


def configured_hosts():
    """Return the host names that the environment allows, in lower case.

    They are those in CHARLM_HOSTS, separated by commas, the Space's, and that of GRADIO_ROOT_PATH.
    """
    names = os.environ.get("CHARLM_HOSTS", "").split(",")
    names.append(os.environ.get("SPACE_HOST", ""))
    with contextlib.suppress(ValueError):  # no address
        names.append(urlsplit(os.environ.get("GRADIO_ROOT_PATH", "")).netloc)
    return {host_name(name) for name in names if name.strip()}


def host_name(authority):
    """Return the host of "host:port" in lower case; "" if it is malformed."""
    try:
        return (urlsplit(f"//{authority.strip()}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class HostCheck:
    """Middleware that refuses requests for a host that is not this page's.

    `share_url()`: the address of the share link; None without one. The MCP endpoint checks the
    `Origin` in the same way. `X-Forwarded-Host`, from which Gradio makes the page's own links, is
    dropped unless it names an allowed host and comes from a proxy that uvicorn trusts
    (FORWARDED_ALLOW_IPS).
    """

    def __init__(self, app, share_url):
        self.app, self.share_url, self.hosts = app, share_url, configured_hosts()

    async def __call__(self, scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        host, origin = header(scope, "host"), header(scope, "origin")
        if not self.allows(host):
            return await refuse(send, 421, refusal(host))
        if origin and route_of(scope).startswith(f"{HTTP_PREFIX}/mcp"):
            host = urlsplit(origin).netloc
            if not self.allows(host):
                return await refuse(send, 403, refusal(host or origin))
        if not (came_through_proxy(scope) and self.allows(header(scope, "x-forwarded-host"))):
            headers = [pair for pair in scope["headers"] if pair[0] != b"x-forwarded-host"]
            scope = {**scope, "headers": headers}
        return await self.app(scope, receive, send)

    def allows(self, authority):
        """Return whether "host:port" is an IP address, a loopback name, or one of the page's."""
        name = host_name(authority)
        if not name:
            return False
        shared = host_name(urlsplit(self.share_url() or "").netloc)
        if name in self.hosts or name in ("localhost", shared) or name.endswith(".localhost"):
            return True
        try:
            return bool(ipaddress.ip_address(name.partition("%")[0]))
        except ValueError:
            return False


def came_through_proxy(scope):
    """Return whether uvicorn took the client's address from a proxy that it trusts.

    It then sets the port to 0, which no connection has.
    """
    return bool(scope.get("client")) and scope["client"][1] == 0


def refusal(host):
    """Return the sentence that refuses a host, for whoever runs the server."""
    return (
        f"this page is not served as {quote(host)}; if it is yours, start it with"
        " CHARLM_HOSTS=<that name>, as behind a reverse proxy"
    )
