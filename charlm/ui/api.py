"""The HTTP API: what the page can do, as endpoints that take and give plain values."""

from contextlib import aclosing, contextmanager

import gradio as gr

from charlm.config import SampleConfig, notes_of
from charlm.errors import CharlmError
from charlm.serving import generate as writer


def add_endpoints(library, default, monitor):
    """Register the endpoints in the Blocks being built."""
    add_model_endpoints(library, default)
    add_run_endpoints(monitor)


def add_run_endpoints(monitor):
    jobs = monitor.jobs

    def runs() -> list[dict]:
        """List the runs: name, state, step, steps and validation loss of each, the newest first."""
        return [
            {name: getattr(status, name) for name in ("name", "state", "step", "steps", "val_loss")}
            for status in monitor.statuses().values()
        ]

    def run_status(run: str, cursor: int = 0) -> dict:
        """Tell how a run is doing, and what happened in it since a cursor.

        Args:
            run: one of the names that /runs lists
            cursor: 0 to begin with, then what the last call gave; a long history comes in parts
        """
        with clear_errors():
            status = monitor.status(run)
            events, cursor = monitor.events(run, writer.whole(cursor))
        names = ("state", "step", "steps", "eta_seconds", "message", "place")
        told = {name: getattr(status, name) for name in names}
        return told | {"cursor": cursor, "events": events}

    def start_run(preset: str = "fast", name: str = "", steps: int = 0, text: str = "") -> str:
        """Start training, or put it in line behind a run that is going on; returns its name.

        Args:
            preset: bigram, gpt, fast or best
            name: what to call the run; empty: made from the preset's name
            steps: optimizer steps; 0: the preset's
            text: what to learn; empty: Tiny Shakespeare
        """
        options = {"steps": writer.whole(steps)} if steps else {}
        with clear_errors():
            return jobs.start(preset, name, text, **options)

    def stop_run(run: str) -> str:
        """Let a run that was started here save and end; returns its state.

        Args:
            run: one of the names that /runs lists
        """
        with clear_errors():
            return jobs.stop(run)

    gr.api(runs, api_name="runs", queue=False)
    gr.api(run_status, api_name="run_status", queue=False)
    gr.api(start_run, api_name="start_run", concurrency_limit=2)
    gr.api(stop_run, api_name="stop_run", concurrency_limit=2)


def add_model_endpoints(library, default):

    async def generate(
        request: gr.Request,
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
            numbers = max_new_chars, temperature, top_k, top_p, min_p, seed
            config = writer.sample_config(library.limits, *numbers)
            writing = writer.write(library, prompt, model, config, request.session_hash)
            async with aclosing(writing):
                async for progress in writing:
                    yield progress.text

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
        raise error_for_visitor(error) from None


def error_for_visitor(error):
    """A CharlmError as the gr.Error that shows its sentence."""
    return gr.Error(str(error), print_exception=False)
