"""Push a run that is over, and try again while the Hub does not answer."""

import signal
import sys
from time import sleep

from charlm.errors import CharlmError
from charlm.hub.client import HubError
from charlm.hub.push import RETRY_WAITS, push


def publish(directory, repo_id, private, snapshots=False):
    """Push a run that is over; returns whether it succeeded, and prints the result.

    On a failure it prints the command that pushes the run later. Ctrl-C and SIGTERM cancel it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        print(f"pushed to {push_with_retries(directory, repo_id, private, snapshots)}")
        return True
    except (CharlmError, OSError, KeyboardInterrupt) as error:
        print(f"train.py: {str(error) or 'interrupted'}; not pushed", file=sys.stderr)
        command = ["python train.py --resume --name", directory.name, "--push"]
        command += [repo_id] * bool(repo_id) + ["--private"] * bool(private)
        command += ["--push-snapshots"] * snapshots
        print("push it later with:", *command, file=sys.stderr)
        return False


def push_with_retries(directory, repo_id, private, snapshots=False):
    """Push, again after each of RETRY_WAITS; returns the URL of the repository.

    Prints each failure and the wait. Raises HubError after the last attempt, or at once for a
    permanent failure, and CharlmError if the directory is damaged.
    """
    for wait in RETRY_WAITS:
        try:
            return push(directory, repo_id, private, snapshots=snapshots)
        except HubError as error:
            if error.permanent:
                raise
            print(f"warning: {error}; trying again in {wait} s", flush=True)
        sleep(wait)
    return push(directory, repo_id, private, snapshots=snapshots)
