"""The history of a run: its events as loss curves and samples."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from charlm.data.baselines import reference_losses
from charlm.runs.log import read_events
from charlm.runs.status import MAX_BYTES

COMMON = 0.75  # share of a sample from which on it counts as like the training text


@dataclass
class History:
    """The curves and samples of a run; `update` adds the events logged since."""

    directory: Path
    start: dict | None = None
    losses: list = field(default_factory=list)  # (step, training loss of its batch)
    evals: list = field(default_factory=list)  # (step, training loss, validation loss)
    samples: list = field(default_factory=list)  # (step, text)
    snapshots: list = field(default_factory=list)  # (step, estimated validation loss)
    features: list = field(default_factory=list)  # (step, what the sample has in common with the
    # training text: see data.text_features)
    cursor: int = 0
    name: str = ""  # of the run; "": that of the directory
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self):
        self.name = self.name or self.directory.name

    def update(self):
        """Read new events; returns self. Raises CharlmError or OSError if the log is unreadable."""
        with self.lock:
            while True:
                events, self.cursor = read_events(self.directory, self.cursor, MAX_BYTES)
                if not events:
                    return self
                for event in events:
                    self._add(event)

    def _add(self, event):
        step = event["step"]
        if event["event"] == "start":
            self.start = event
            if step == 0:  # reading may have restarted, because a resumed run truncated the log
                self.losses, self.evals, self.samples = [], [], []
                self.snapshots, self.features = [], []
        elif event["event"] == "step":
            self.losses.append((step, event["loss"]))
        elif event["event"] == "eval":
            self.evals.append((step, event["train_loss"], event["val_loss"]))
        elif event["event"] == "sample":
            self.samples.append((step, event["text"]))
            self.features.append((step, event))
        elif event["event"] == "snapshot" and not event.get("message"):
            self.snapshots.append((step, event["val_estimate"]))

    @property
    def references(self):
        """Losses to compare with, by name: see baselines.reference_losses."""
        return reference_losses(self.start) if self.start else {}

    def milestones(self):
        """Return (name, step) of each reference that the validation loss fell below, in order.

        The loss is an estimate at the snapshots where the run was not evaluated.
        """
        losses = dict(self.snapshots) | {step: val for step, _, val in self.evals}
        passed = {
            name: next((s for s in sorted(losses) if s and losses[s] < reference), None)
            for name, reference in self.references.items()
        }
        return sorted(((n, s) for n, s in passed.items() if s is not None), key=lambda p: p[1])

    def text_milestones(self):
        """Return (name, step, value) of what the samples had first at a step, in order.

        "words", "lines": at least the share COMMON of the sample, the value, is like the training
        text. "speaker": the sample names a speaker of the play. See data.text_features.
        """
        found = {}
        for step, features in self.features:
            for name, least in (("words", COMMON), ("lines", COMMON), ("speaker", "")):
                value = features.get(name)
                if value and value >= least:
                    found.setdefault(name, (name, step, value))
        return list(found.values())
