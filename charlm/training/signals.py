"""Stop a run on a signal or after a time limit."""

import contextlib
import os
import signal
import threading

# Ctrl-C, kill, a closed terminal, Ctrl-Break; not every system has all
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
STOPPING = b"\nstopping after this batch; another signal ends without saving\n"


def stop_on_signals(trainer):
    """On a signal that ends a session, save and end the run soon; a second one kills it.

    A signal that the process was started to ignore stays ignored, as nohup wants.
    """
    for number in filter(None, (getattr(signal, name, None) for name in SIGNALS)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: request_stop(trainer, number))


def request_stop(trainer, number):
    signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError):  # not print, which the signal may have interrupted
        os.write(2, STOPPING)
    trainer.stop()
    if trainer.compiling:  # nothing is lost by leaving it
        raise KeyboardInterrupt


def stop_after(trainer, minutes):
    """Save and end the run `minutes` from now."""
    reason = f"the time limit of {minutes:g} minutes was reached"
    timer = threading.Timer(60 * minutes, trainer.stop, [reason])
    timer.daemon = True
    timer.start()
