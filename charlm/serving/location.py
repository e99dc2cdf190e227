"""Where the weights that a model's name stands for are."""

from dataclasses import dataclass
from pathlib import Path

from charlm.errors import CharlmError, name_files
from charlm.models import checkpoint
from charlm.models.snapshots import load_snapshot, snapshot_file


@dataclass(frozen=True)
class Location:
    """The weights of a model, or of one of its snapshots."""

    run: str  # the model's name
    directory: Path
    commit: str = ""  # on the Hub; "" if the model is not from there
    step: int | None = None  # of a snapshot

    @property
    def weights(self):
        """The path of the weights, which are perhaps not downloaded yet."""
        return self.directory / (
            checkpoint.WEIGHTS if self.step is None else snapshot_file(self.step)
        )

    @property
    def version(self):
        """A value that changes when the weights do; a commit never changes."""
        if self.commit:
            return self.commit
        try:
            return self.directory, self.weights.stat().st_mtime_ns
        except FileNotFoundError:
            return self.directory, 0

    def load(self):
        """Return the model and tokenizer. Raises CharlmError, which names the run, not its path."""
        try:
            if self.step is None:
                return checkpoint.load(self.directory)
            return load_snapshot(self.directory, self.step)
        except CharlmError as error:
            raise CharlmError(name_files(str(error), self.directory, self.run)) from None
