"""The events of a run: the trainer yields them, train.py logs and prints them."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Start:
    """A run starts or resumes: everything that determines it, and its hardware."""

    event: ClassVar[str] = "start"
    step: int
    time: float  # seconds of training, those before a resumption included
    started: int  # Unix time at which it starts or resumes
    config: dict
    data: dict  # name, sha256
    baselines: dict  # losses of counting models, see data/baselines.py, and of "teachers"
    parameters: int
    device: str
    precision: str
    mkl_cbwr: str  # MKL's rounding mode, see rounding.py
    compiled: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """An optimizer step: the loss of its batch, in nats per character."""

    event: ClassVar[str] = "step"
    step: int
    time: float
    loss: float
    lr: float
    chars_per_second: float


@dataclass(frozen=True)
class Evaluating:
    """Progress of an evaluation: the characters done, of all. It is shown and not logged."""

    event: ClassVar[str] = "evaluating"
    step: int
    time: float
    done: int
    total: int


@dataclass(frozen=True)
class Writing:
    """The teachers have written `done` of `total` characters. It is shown and not logged."""

    event: ClassVar[str] = "writing"
    step: int
    time: float
    done: int
    total: int


@dataclass(frozen=True)
class Eval:
    """Losses in nats per character.

    `train_loss` and `val_estimate` are means over eval_iters random batches of a split, as in the
    lecture; `val_loss` is the mean over the whole validation split.
    """

    event: ClassVar[str] = "eval"
    step: int
    time: float
    train_loss: float
    val_loss: float
    val_estimate: float


@dataclass(frozen=True)
class Sample:
    """A text that the model generated at this step, compared with the training text."""

    event: ClassVar[str] = "sample"
    step: int
    time: float
    text: str
    words: float = 0.0  # see data.text_features, for these three
    lines: float = 0.0
    speaker: str = ""


@dataclass(frozen=True)
class Snapshot:
    """The trainer waits while the weights of `trainer.eval_model` are kept as a snapshot."""

    event: ClassVar[str] = "snapshot"
    step: int
    time: float
    val_estimate: float  # see Eval
    message: str = ""  # why it was not kept


@dataclass(frozen=True)
class Save:
    """The trainer waits while `trainer.state()` is saved."""

    event: ClassVar[str] = "save"
    step: int
    time: float


@dataclass(frozen=True)
class End:
    """The run ends: `reason` is finished, stopped or failed."""

    event: ClassVar[str] = "end"
    step: int
    time: float
    reason: str
    message: str = ""
