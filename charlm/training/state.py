"""The state of a trainer between two steps."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainerState:
    """Everything that a run needs to go on as if it had never stopped."""

    step: int
    time: float
    tensors: dict = field(repr=False)  # name -> tensor: weights, their average, optimizer state
