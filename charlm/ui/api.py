"""The HTTP API: what the page can do, as endpoints that take and give plain values."""

from contextlib import contextmanager

import gradio as gr

from charlm.config import CharlmError
from charlm.ui import writer


def add_endpoints(library):
    """Register /generate, /models and /score in the Blocks being built."""

    def generate(
        prompt: str,
        model: str = "shakespeare",
        max_new_chars: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 0.0,
        min_p: float = 0.0,
        seed: int = -1,
    ) -> str:
        """Continue a prompt character by character, streaming the text so far, prompt included.

        Args:
            prompt: what the text begins with; characters that the model does not know are dropped
            model: one of the names that /models lists
            max_new_chars: how many characters to write
            temperature: 0 always takes the likeliest character; 1 samples as trained
            top_k: choose among the k likeliest characters only; 0 is off
            top_p: choose among the likeliest that add up to this probability; 0 is off
            min_p: leave out what is less likely than this share of the likeliest; 0 is off
            seed: the same seed and settings give the same text; -1 is random
        """
        with clear_errors():
            config = writer.sample_config(max_new_chars, temperature, top_k, top_p, min_p, seed)
            for draft in writer.write(library, prompt, model, config):
                yield draft.text

    def models() -> list[str]:
        """List the names of the models that /generate and /score take."""
        return library.names()

    def score(text: str, model: str = "shakespeare") -> dict:
        """Tell how surprised a model is by each character of a text, in bits.

        Args:
            text: the text to read; characters that the model does not know are left out
            model: one of the names that /models lists
        """
        with clear_errors():
            return writer.score(library, text, model)

    gr.api(generate, api_name="generate", concurrency_limit=None)
    gr.api(models, api_name="models", queue=False)
    gr.api(score, api_name="score", concurrency_limit=2)


@contextmanager
def clear_errors():
    """Show a CharlmError to whoever asked as the one sentence it is."""
    try:
        yield
    except CharlmError as error:
        raise gr.Error(str(error), print_exception=False) from None
