"""Stop a run on a signal or after a time limit."""

import signal
import threading


def stop_on_signals(trainer):
    """On Ctrl-C or SIGTERM, save and end the run after its step; a second signal kills it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: request_stop(trainer, number))


def request_stop(trainer, number):
    trainer.stop()
    signal.signal(number, signal.SIG_DFL)


def stop_after(trainer, minutes):
    """Save and end the run `minutes` from now."""
    reason = f"the time limit of {minutes:g} minutes was reached"
    timer = threading.Timer(60 * minutes, trainer.stop, [reason])
    timer.daemon = True
    timer.start()
