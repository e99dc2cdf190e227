"""The state of a trainer between two steps: all that a resumed run needs to continue."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainerState:
    """Weights, their average and the optimizers' state after `step` steps.

    Batches, dropout and learning rates follow from the config and the step. With the same config,
    text, hardware and number of processes, a resumed run has the same bits as an uninterrupted one.
    """

    step: int
    time: float  # seconds of training so far
    tensors: dict = field(repr=False)  # name -> tensor
    evaluated: bool = True  # whether the run has evaluated at this step


def capture(model, average, optimizers):
    """Return the tensors of a TrainerState, by name, without copying them.

    `average` is a list of tensors, empty without EMA.
    """
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    tensors |= {f"average.{i}": t for i, t in enumerate(average)}
    for n, optimizer in enumerate(optimizers):
        for index, values in enumerate(optimizer.state.values()):
            tensors |= {f"optimizer.{n}.{index}.{name}": t for name, t in values.items()}
    return tensors


def restore(state, model, average, optimizers):
    """Copy a TrainerState into these parts, in place.

    Raises KeyError, ValueError or RuntimeError if it does not fit them.
    """
    prefix = "model."
    weights = {n.removeprefix(prefix): t for n, t in state.tensors.items() if n.startswith(prefix)}
    model.load_state_dict(weights)
    for i, tensor in enumerate(average):
        copy(state, f"average.{i}", tensor)
    for n, optimizer in enumerate(optimizers):
        for index, values in enumerate(optimizer.state.values()):
            for name, tensor in values.items():
                copy(state, f"optimizer.{n}.{index}.{name}", tensor)


def copy(state, name, tensor):
    saved = state.tensors[name]
    if saved.shape != tensor.shape:
        raise ValueError(f"{name} has another shape")
    tensor.copy_(saved)
