"""The arguments of `gr.Blocks.launch` that every charlm page has."""

import importlib.util
from functools import cache

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from charlm.serving.bodies import BodyCheck, Event
from charlm.serving.hosts import HostCheck
from charlm.serving.routes import RouteCheck
from charlm.serving.uploads import UploadLimits
from charlm.ui.assets import Assets
from charlm.ui.document import Document
from charlm.ui.preview import ICON
from charlm.ui.readers import ReaderWatch
from charlm.ui.theme import theme_arguments

MAX_SESSIONS = 2_000  # whose state is kept
MAX_EVENTS = 4_000  # at a time, most of which wait in queues of ours


def launch_arguments(page, limits):
    """Return the arguments for a page that `build` made with these Limits."""
    max_file = 4 * limits.max_text  # the form reports smaller excesses at the field
    return {
        "footer_links": ["api", "settings"],
        "run_history": False,
        "enable_monitoring": False,
        "mcp_server": importlib.util.find_spec("mcp") is not None,
        "max_threads": MAX_EVENTS,
        "max_file_size": max_file,
        "favicon_path": str(ICON),
        # another server would send the document, without what Document adds
        "ssr_mode": False,
        "state_session_capacity": MAX_SESSIONS,
        "app_kwargs": {"middleware": middleware(page, limits, max_file)},
        **theme_arguments(),
    }


def middleware(page, limits, max_file):
    """Return the checks that every request passes before Gradio sees it."""
    return [
        Middleware(HostCheck, share_url=lambda: page.share_url),
        Middleware(GZipMiddleware),  # Gradio compresses only files; neither touches event streams
        Middleware(Document, page=page),
        Middleware(RouteCheck),
        Middleware(Assets),
        Middleware(UploadLimits, max_file=max_file),
        Middleware(ReaderWatch, readers=page.readers),
        Middleware(BodyCheck, max_text=limits.max_text, events=cache(lambda: events_of(page))),
    ]


def events_of(page):
    """Return index -> Event of a page's events and endpoints."""
    return {
        index: Event(fn.api_name or "", list(page.parameters.get(fn.api_name, ())))
        for index, fn in page.fns.items()
    }
