"""What the page's events have in common."""

# an event of the page itself: at once, without a spinner, and no part of the API
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# the same for one that may wait for the Hub, in the queue for a while
SLOW = QUIET | {"queue": True, "concurrency_limit": 8}
# the event of the Play tab that generates, as the page's config names it
GENERATE_EVENT = "generate_event"
