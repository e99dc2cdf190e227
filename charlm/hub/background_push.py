"""Push a run in the background while it trains."""

import threading

from charlm.hub.client import TIMEOUT
from charlm.hub.push import RETRY_WAITS, push


class BackgroundPusher:
    """Pushes a run at every Nth save, in a thread. A context manager.

    A failed push is retried until it succeeds or the run ends, each time after a longer wait. A
    push that is requested during another one starts after it, with the files as they are then.
    """

    def __init__(self, directory, repo_id, private, snapshots, every, warn):
        """`snapshots`: see push. `every`: N; 0 pushes never.

        `warn(line)` is called in the thread after a failure.
        """
        self._push = lambda message: push(directory, repo_id, private, message, snapshots)
        self._every, self._saves, self._warn = every, 0, warn
        self._requested, self._closed = threading.Event(), threading.Event()
        self._message = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        if self._every:
            self._thread.start()
        return self

    def __exit__(self, *_):
        """Wait for a push that is under way; the final push covers a requested one."""
        self._closed.set()
        self._requested.set()
        if self._every:
            self._thread.join(timeout=TIMEOUT)

    def after_save(self, step):
        """Request a push if this is an Nth save."""
        self._saves += 1
        if self._every and self._saves % self._every == 0:
            self._message = f"Step {step}"
            self._requested.set()

    def _run(self):
        failures = 0
        while self._requested.wait() and not self._closed.is_set():
            self._requested.clear()
            try:
                self._push(self._message)
                failures = 0
            except Exception as error:
                seconds = RETRY_WAITS[min(failures, len(RETRY_WAITS) - 1)]
                failures += 1
                self._warn(f"warning: {error}; trying again in {seconds} s")
                self._closed.wait(seconds)
                self._requested.set()
