"""Who sends a request: the address that the limits count by."""

import ipaddress
import os
from typing import NamedTuple

UNKNOWN = "unknown"
PRIVATE = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7"


class Client(NamedTuple):
    """A visitor: limits and turns count by address, and below it by session."""

    address: str
    session: str = ""


NOBODY = Client(UNKNOWN)


def client_of(request):
    """Return the Client that sent a gr.Request."""
    return Client(client_address(request), request.session_hash or "")


def trust_proxies():
    """Make uvicorn take the addresses of clients from the proxy in front of a Space.

    uvicorn reads FORWARDED_ALLOW_IPS, takes X-Forwarded-For from these proxies only, and counts
    from its right, so that visitors cannot choose their address. A value that is set stays.
    """
    if os.environ.get("SPACE_ID"):
        os.environ.setdefault("FORWARDED_ALLOW_IPS", PRIVATE)


def client_address(request):
    """Return the address of a Starlette or Gradio request's client: see `shorten`."""
    client = getattr(request, "client", None)
    return shorten(client.host if client else "")


def address_of(scope):
    """Return the address of an ASGI scope's client: see `shorten`."""
    return shorten((scope.get("client") or ("",))[0])


def shorten(host):
    """Return an address, of IPv6 only the network of 64 bits, which is what a customer gets."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host or UNKNOWN
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
