"""ZeroGPU, the hardware of free Spaces, as far as a page that needs no GPU has to know it."""

import os

import gradio as gr


def declare():
    """Add, on ZeroGPU, what it ends a Space for the lack of: an event that may use the GPU.

    The page never fires it. A GPU would have to be waited for, and is taken off the visitor's
    allowance, and models of this size write as fast without.
    """
    if os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"):
        import spaces  # there, and only there; it changes torch as it is imported

        gr.api(spaces.GPU(gpu), api_name="gpu", api_visibility="private")


def gpu() -> str:
    """Tell which GPU it got."""
    import torch

    return torch.cuda.get_device_name()
