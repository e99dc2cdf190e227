"""Common options of the page's events, and the conversion of their errors."""

import asyncio
from contextlib import contextmanager

import gradio as gr

from charlm.errors import CharlmError, explain_os_error, without_directories

PROGRESS_SECONDS = 0.5  # between updates while something else is waited for
# an event of the page itself: shows no spinner, is not part of the API. For each status of an event
# the browser would go through all components that ever could have shown one, even a hidden one
PRIVATE = {"show_progress": "hidden", "show_progress_on": (), "api_visibility": "private"}
QUIET = PRIVATE | {"queue": False}  # runs at once
# the same for an event that may wait for the Hub in a pool of its own, and shows progress meanwhile
SLOW = QUIET | {"queue": True, "concurrency_limit": None}
# most of an update's cost is postprocessing, which plain strings do not need
FAST = PRIVATE | {"postprocess": False}
# the names that the page's config gives to the Play tab's events that generate
GENERATE_EVENT, LETTER_EVENT, LOOK_EVENT = "generate_event", "letter_event", "look_event"
TEXT_EVENTS = (GENERATE_EVENT, LETTER_EVENT, LOOK_EVENT)


async def until_done(task):
    """Yield every PROGRESS_SECONDS until a task is done; cancel it if the caller ends before."""
    try:
        while not task.done():
            yield
            await asyncio.wait([task], timeout=PROGRESS_SECONDS)
    finally:
        task.cancel()


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
