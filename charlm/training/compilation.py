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
    try:
        for block in model.blocks:
            block.compile()
        # Computing a dropout mask again in the backward pass is cheaper than storing booleans: it
        # halved a step of the `gpt` preset (checkpoints/README.md, 2026-11-23).
        with torch._functorch.config.patch(aggressive_recomputation=True):
            compute_loss().backward()
    except Exception as error:  # no compiler, or not for this Python: a bug also fails without it
        lines = str(error).strip().splitlines()
        return f"training without torch.compile, which failed here: {[*lines, repr(error)][0]}"
    finally:
        model.zero_grad()
    return ""


def eager_stance():
    """Return the stance of torch.compiler that ignores compiled blocks.

    None where torch.compile does not exist at all, and has compiled nothing.
    """
    try:
        with torch.compiler.set_stance("force_eager"):
            return "force_eager"
    except Exception:  # torch.compile raises what it likes on an unknown Python or platform
        return None
