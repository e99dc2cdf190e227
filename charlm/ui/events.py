"""Common options of the page's events, and the conversion of their errors."""

from contextlib import contextmanager

import gradio as gr

from charlm.errors import CharlmError, explain_os_error, without_directories

# an event of the page itself: runs at once, shows no spinner, is not part of the API
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# the same for an event that may wait for the Hub in a pool of its own, and shows progress meanwhile
SLOW = QUIET | {"queue": True, "concurrency_limit": None}
# the name that the page's config gives to the Play tab's event that generates
GENERATE_EVENT = "generate_event"


@contextmanager
def visitor_errors():
    """Turn a CharlmError or OSError into a gr.Error, whose message the visitor or caller sees."""
    try:
        yield
    except CharlmError as error:
        raise visitor_error(error) from None
    except OSError as error:  # such as a full disk
        raise visitor_error(CharlmError(explain_os_error(error))) from None


def visitor_error(error):
    """Return a gr.Error with the message of a CharlmError; it prints no traceback.

    Gradio shows the message as HTML, and it may quote what a visitor sent.
    """
    message = without_directories(str(error))
    return gr.Error(message.replace("<", "&lt;"), print_exception=False)
