"""torch.compile for the blocks of a model, where it saves time and works."""

import contextlib
import platform

import torch

MIN_STEPS = 100  # in a shorter run, compiling costs more time than it saves
MAX_DIFFERENCE = 0.1  # of a gradient, compiled, from that without torch.compile, both rounded
WRONG = "its gradients are wrong"


def should_compile(config, model, device):
    """Return whether a run of this TrainConfig compiles, now and when it is resumed."""
    if config.compile == "auto":
        wanted = device.type in ("cpu", "cuda") and config.steps >= MIN_STEPS
    else:
        wanted = config.compile == "on"
    return wanted and len(model.blocks) > 0


def compile_blocks(model, compute_loss, precision):
    """Compile the blocks and compare the gradients of `compute_loss()` with those before.

    Returns "", or why compiling failed. The blocks are of two kinds at most, so little is compiled.
    """
    failure = ""
    try:
        with moved(model):
            expected = gradients(model, compute_loss)
            for block in model.blocks:
                block.compile()  # imports the modules with the settings
            with compiler_settings(precision):
                if not are_close(gradients(model, compute_loss), expected):
                    failure = WRONG
    except Exception as error:  # no compiler, or not for this Python: a bug also fails without it
        failure = [*str(error).strip().splitlines(), repr(error)][0]
    return f"training without torch.compile, which failed here: {failure}" if failure else ""


@contextlib.contextmanager
def compiler_settings(precision):
    """Set up the compiler for the first pass, in which it does its work."""
    # Computing a dropout mask again in the backward pass is cheaper than storing booleans: it
    # halved a step of the `gpt` preset (checkpoints/README.md, 2026-11-23).
    recompute = torch._functorch.config.patch(aggressive_recomputation=True)
    # With AVX-512, torch 2.13 compiles a backward pass of attention in bfloat16 whose gradients are
    # not numbers. With AVX2, which all such processors have, they are right.
    avx2 = precision == "bf16" and platform.machine().lower() in ("x86_64", "amd64")
    vectors = torch._inductor.config.patch({"cpp.simdlen": 256} if avx2 else {})
    with recompute, vectors:
        yield


@contextlib.contextmanager
@torch.no_grad()
def moved(model):
    """Move the weights away from their initial values, where most gradients are zero, and back."""
    weights = list(model.parameters())
    before = [w.clone() for w in weights]
    generator = torch.Generator().manual_seed(0)
    for w in weights:
        w += 0.02 * torch.randn(w.shape, generator=generator).to(w.device)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch._foreach_copy_(weights, before)


def gradients(model, compute_loss):
    """Return the gradient of a loss for each parameter, and leave none behind."""
    try:
        compute_loss().backward()
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    finally:
        model.zero_grad()


def are_close(gradients, expected):
    """Return whether each gradient is the expected one but for rounding."""
    whole = torch.stack([e.norm() for e in expected]).norm()
    return all(
        (g - e).norm() <= MAX_DIFFERENCE * (e.norm() + whole / 100)
        for g, e in zip(gradients, expected, strict=True)
    )


def eager_stance():
    """Return the stance of torch.compiler that ignores compiled blocks.

    None where torch.compile does not exist at all, and has compiled nothing.
    """
    try:
        with torch.compiler.set_stance("force_eager"):
            return "force_eager"
    except Exception:  # torch.compile raises what it likes on an unknown Python or platform
        return None
