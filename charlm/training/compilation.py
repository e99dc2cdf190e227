"""torch.compile for the blocks of a model, where it saves time and works."""

import torch

MIN_STEPS = 100  # in a shorter run, compiling costs more time than it saves


def should_compile(config, model, device):
    """Return whether a run of this TrainConfig compiles, now and when it is resumed."""
    if config.compile == "auto":
        wanted = device.type in ("cpu", "cuda") and config.steps >= MIN_STEPS
    else:
        wanted = config.compile == "on"
    return wanted and len(model.blocks) > 0


def compile_blocks(model, compute_loss):
    """Compile the blocks and run `compute_loss()` forward and backward once.

    Returns "", or why compiling failed. The blocks are of two kinds at most, so little is compiled.
    """
    for block in model.blocks:
        block.compile()
    try:
        # Computing a dropout mask again in the backward pass is cheaper than storing booleans: it
        # halved a step of the `gpt` preset (checkpoints/README.md, 2026-11-23).
        with torch._functorch.config.patch(aggressive_recomputation=True):
            compute_loss().backward()
    except Exception as error:  # a missing compiler; a bug also fails without compiling
        lines = str(error).strip().splitlines()
        return f"training without torch.compile, which failed here: {[*lines, repr(error)][0]}"
    finally:
        model.zero_grad()
    return ""
