"""The routes that the page needs. Gradio has many more, which are closed here."""

from charlm.errors import quote
from charlm.serving.asgi import HTTP_PREFIX, refuse, route_of

GET = {
    *("/", "/config", "/favicon.ico", "/theme.css", "/robots.txt", "/manifest.json", "/pwa_icon"),
    *("info", "openapi.json", "startup-events", "app_id", "theme.css", "login_check", "user"),
    *("token", "upload_progress", "queue/data", "queue/status"),
}
GET_BELOW = ("/assets/", "/static/", "/svelte/", "/pwa_icon/", "heartbeat/", "call/")
POST = {"queue/join", "upload", "cancel", "reset"}
POST_BELOW = ("call/", "run/", "api/")
ALL_BELOW = ("mcp",)


class RouteCheck:
    """Middleware that answers 404 to requests for routes that the page does not need.

    Among those closed are `file=`, which serves files of this machine and relays addresses,
    `proxy=`, and routes that keep what visitors send.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and not is_open(scope["method"], route_of(scope)):
            return await refuse(send, 404, f"there is no {quote(route_of(scope))} here")
        return await self.app(scope, receive, send)


def is_open(method, route):
    """Return whether the page needs a route; `route` may begin with Gradio's prefix."""
    route = route.removeprefix(f"{HTTP_PREFIX}/")
    if route.startswith(ALL_BELOW):
        return True
    if method in ("GET", "HEAD"):
        return route in GET or route.startswith(GET_BELOW)
    return method == "POST" and (route in POST or route.startswith(POST_BELOW))
