"""ZeroGPU, the hardware of free Spaces: the one event that it requires of a page."""

import os

import gradio as gr


def declare_gpu_event():
    """Register an event that may use the GPU, if the page runs on ZeroGPU.

    ZeroGPU ends a Space without such an event. The page never fires it: visitors would wait for a
    GPU and spend their quota on it, and models of this size generate as fast without one.
    """
    if os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"):
        import spaces  # installed on ZeroGPU only; patches torch when imported

        gr.api(spaces.GPU(gpu_name), api_name="gpu", api_visibility="private")


def gpu_name() -> str:
    """Return the name of the GPU."""
    import torch

    return torch.cuda.get_device_name()
