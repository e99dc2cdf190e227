"""A run directory: a model directory with the model card, the log and the resume state."""

import dataclasses
import errno
import os
import secrets
import shutil

from charlm.errors import explain_os_error
from charlm.files import naming, sync_directory
from charlm.models.checkpoint import save_description, save_tokenizer, save_weights
from charlm.models.snapshots import save_snapshot
from charlm.runs.card import write_card
from charlm.runs.resume import ResumeState, save_resume_state


def create_run_directory(directory, description, model, tokenizer, data_path=None, teachers=()):
    """Make a new run directory that can be loaded and resumed from the moment it exists.

    The files are written to a temporary directory, which is then renamed. Raises FileExistsError
    if the directory exists.
    """
    if os.path.lexists(directory):
        raise FileExistsError(errno.EEXIST, "it exists already", str(directory))
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}-{secrets.token_hex(4)}.new")
    try:
        save_description(temporary, description)
        save_tokenizer(temporary, tokenizer)
        save_weights(temporary, model, description.training.store)
        save_resume_state(temporary, ResumeState(None, 0, data_path, teachers))
        write_card(temporary, directory.name)
        rename_new(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_directory(directory.parent)


def rename_new(temporary, directory):
    """Rename a directory. Raises FileExistsError if the new name is in use, and OSError."""
    try:
        with naming(directory):
            temporary.rename(directory)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):  # another process was faster
            raise FileExistsError(errno.EEXIST, "it exists already", str(directory)) from None
        raise


def save_run(directory, trainer, log, data_path, teachers=()):
    """Save the evaluated weights, the resume state and the model card.

    `data_path`, `teachers`: see ResumeState.

    Raises OSError, as on a full disk; the previous weights and resume state are then still whole.
    """
    save_weights(directory, trainer.eval_model, trainer.config.store)
    log.sync()  # the resume state relies on the log's length
    resume = ResumeState(trainer.state(), log.size, data_path, teachers)
    save_resume_state(directory, resume)
    write_card(directory)


def keep_snapshot(directory, model, event):
    """Store the weights of a model as the snapshot of a Snapshot event; returns the event.

    If that fails, as on a full disk, the event's message says why.
    """
    try:
        save_snapshot(directory, model, event.step)
    except (OSError, MemoryError) as error:
        reason = explain_os_error(error) if isinstance(error, OSError) else "out of memory"
        reason = reason.replace(f"{directory}{os.sep}", "")  # logs may be published
        return dataclasses.replace(event, message=f"no more snapshots are kept: {reason}")
    return event


def remove_temporary_files(directory):
    """Remove files that a killed process left half-written. Call it while the log is locked."""
    for temporary in directory.rglob(".*.tmp"):
        temporary.unlink()
