"""What the page says of a model without loading it."""

from dataclasses import dataclass

from charlm.errors import CharlmError, name_files
from charlm.models import checkpoint
from charlm.runs.history import History
from charlm.runs.log import RunLogError, latest_events


@dataclass(frozen=True)
class ModelSummary:
    """A model's figures, which are available without loading it; None if its log lacks one."""

    kind: str
    block_size: int
    vocab_size: int
    data_name: str  # of the text that it was trained on
    parameters: int | None
    val_loss: float | None  # nats per character
    sample: str  # the last one of the training run, at step `sample_step`; "" if there is none
    sample_step: int | None
    revision: str  # the Hub's commit; "" for a model that is not from the Hub


def summarize(location):
    """Return the ModelSummary at a Location. Raises CharlmError if the config is unreadable."""
    directory, step = location.directory, location.step
    try:
        description = checkpoint.load_description(directory)
    except CharlmError as error:
        raise CharlmError(name_files(str(error), directory, location.run)) from None
    try:
        last = latest_events(directory) if step is None else events_at(directory, step)
    except (OSError, RunLogError):
        last = {}  # a model needs no log
    return ModelSummary(
        kind=description.kind,
        block_size=description.model.block_size,
        vocab_size=description.model.vocab_size,
        data_name=description.data["name"],
        parameters=last.get("start", {}).get("parameters"),
        val_loss=last.get("eval", {}).get("val_loss"),
        sample=last.get("sample", {}).get("text", ""),
        sample_step=last.get("sample", {}).get("step"),
        revision=location.commit,
    )


def events_at(directory, step):
    """Return the start event of a run, and its evaluation and sample at a step, by name."""
    history = History(directory).update()
    losses = {at: {"val_loss": val} for at, _, val in history.evals}
    samples = {at: {"text": text, "step": at} for at, text in history.samples}
    found = {"start": history.start, "eval": losses.get(step), "sample": samples.get(step)}
    return {event: fields for event, fields in found.items() if fields}
