"""Messages for the user about the errors that end a run."""

from charlm.errors import CharlmError, explain_os_error
from charlm.training.distributed import ProcessLost


def explain_failure(error):
    """Return the message for a run that `error` ended, or None if the error is a bug."""
    if isinstance(error, OSError):
        return f"{explain_os_error(error)}; the previous save is intact"
    if isinstance(error, ProcessLost):
        return f"{error}; continue from the last save with --resume"
    if isinstance(error, CharlmError):
        return str(error)
    if isinstance(error, MemoryError) or "memory" in str(error):
        return "out of memory; try a smaller batch_size or model"
    return None
