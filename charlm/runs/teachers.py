"""The teachers of a run: models in directories or on the Hub, found again when it is resumed."""

import argparse
import hashlib

from charlm.config import require
from charlm.errors import CharlmError
from charlm.models import checkpoint
from charlm.models.checkpoint import MAX_TEACHERS, Distillation
from charlm.paths import expand, is_directory, resolve
from charlm.training.distillation import Teachers


def load_teachers(sources, find, config, model_config, tokenizer):
    """Return the Teachers of a student with a model config and a tokenizer.

    `sources`: model directories and names on the Hub. `find(source)` returns (directory, file of
    the weights). Raises CharlmError.
    """
    require(len(sources) <= MAX_TEACHERS, "teacher", len(sources), f"at most {MAX_TEACHERS} models")
    models, teachers = [], []
    most = config.written_chars // 3
    require(
        model_config.block_size <= most, "block_size", model_config.block_size, f"at most {most}"
    )
    for source in sources:
        directory, weights = find(source)
        model, known = checkpoint.load(directory, weights)
        if known.chars != tokenizer.chars:
            raise CharlmError(
                f"the teacher {source} does not know the same characters as the text to train on;"
                " it must have been trained on that text"
            )
        if model.config.block_size < model_config.block_size:
            raise CharlmError(
                f"the teacher {source} has a context of {model.config.block_size} characters; its"
                f" student's is longer: block_size is {model_config.block_size}"
            )
        models.append(model)
        digest = hashlib.sha256((directory / weights).read_bytes()).hexdigest()
        teachers.append({"name": public_name(source), "sha256": digest})
    return Teachers(models, Distillation(config, tuple(teachers)))


def lasting_name(source):
    """Return the name of a teacher with which it is found from any working directory."""
    path, step = local_path(source)
    return f"{path}{step}" if path else source


def public_name(source):
    """Return the name of a teacher without the directories of this machine."""
    path, step = local_path(source)
    return f"{path.name}{step}" if path else source


def local_path(source):
    """Return (absolute path, "#step" or "") of a directory or its snapshot; (None, "") if none."""
    for run, step in ((source, ""), (source.rpartition("#")[0], f"#{source.rpartition('#')[2]}")):
        if run and is_directory(expand(run)):
            return resolve(expand(run)), step
    return None, ""


def check_same(found, recorded):
    """Raise CharlmError if teachers that were found again are not those of the run."""
    if len(found.teachers) != len(recorded.teachers):
        raise CharlmError("the resume state does not name the teachers of this run; restore it")
    for teacher, before in zip(found.teachers, recorded.teachers, strict=True):
        if teacher["sha256"] != before["sha256"]:
            raise CharlmError(
                f"the teacher {before['name']} has other weights than when the run began; restore"
                " it, or train another --name"
            )


def sources_of(text):
    """Split a list of teachers, as an argparse type."""
    sources = [part.strip() for part in text.split(",")]
    if not all(sources):
        raise argparse.ArgumentTypeError("it must be one or more models, separated by commas")
    return sources
