"""The HTTP API: what the page can do, as endpoints that take and give plain values."""

from contextlib import contextmanager

import gradio as gr

from charlm.config import CharlmError, SampleConfig, notes_of
from charlm.ui import writer


def add_endpoints(library, default):
    """Register /generate, /models and /score in the Blocks being built."""

    def generate(
        prompt: str,
        model: str = default,
        max_new_chars: int = SampleConfig.max_new_chars,
        temperature: float = SampleConfig.temperature,
        top_k: int = 0,
        top_p: float = 0.0,
        min_p: float = 0.0,
        seed: int = -1,
    ) -> str:
        with clear_errors():
            config = writer.sample_config(max_new_chars, temperature, top_k, top_p, min_p, seed)
            for draft in writer.write(library, prompt, model, config):
                yield draft.text

    def models() -> list[str]:
        """List the names of the models that /generate and /score take."""
        return library.names()

    def score(text: str, model: str = default) -> dict:
        """Tell how surprised a model is by each character of a text, in bits.

        Args:
            text: the text to read; characters that the model does not know are left out
            model: one of the names that /models lists
        """
        with clear_errors():
            return writer.score(library, text, model)

    generate.__doc__ = generate_doc()
    gr.api(generate, api_name="generate", concurrency_limit=None)
    gr.api(models, api_name="models", queue=False)
    gr.api(score, api_name="score", concurrency_limit=2)


def generate_doc():
    """The docstring of /generate, from which its API page is made; options are described once."""
    notes = {
        "prompt": "what the text begins with; characters that the model does not know are dropped",
        "model": "one of the names that /models lists",
        **notes_of(SampleConfig),
    }
    lines = [f"    {name}: {note}" for name, note in notes.items()]
    first = "Continue a prompt character by character, streaming the text so far, prompt included."
    return "\n".join([first, "", "Args:", *lines]) + "; -1 is random"


@contextmanager
def clear_errors():
    """Show a CharlmError to whoever asked as the one sentence it is."""
    try:
        yield
    except CharlmError as error:
        raise gr.Error(str(error), print_exception=False) from None
