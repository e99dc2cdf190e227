"""The HTTP endpoints, which are the MCP tools too: plain values in, plain values out.

Gradio names the tools after the functions, and makes the API page and the tools' schemas from
their docstrings.
"""

from contextlib import aclosing
from functools import partial

import gradio as gr

from charlm.config import SampleConfig
from charlm.serving.clients import client_address, client_of
from charlm.serving.generate import TextRequest, sample_config
from charlm.serving.generate import generate as generate_text
from charlm.serving.owners import Visitor
from charlm.serving.snapshots import snapshots_of
from charlm.ui.docstrings import MODEL, OFF, docstring, setting_notes
from charlm.ui.events import visitor_errors
from charlm.ui.inspection_api import add_inspection_endpoints
from charlm.ui.readers import read_updates


def add_endpoints(library, default, monitor, readers):
    """Register the endpoints in the Blocks being built; `default`: the default model."""
    add_generate_endpoint(library, default, readers)
    add_models_endpoint(library)
    add_inspection_endpoints(library, default)
    add_status_endpoints(monitor)
    add_snapshots_endpoint(library)
    add_training_endpoints(monitor.jobs, library.pools.runs)


def add_generate_endpoint(library, default, readers):
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
        off: str = "",
    ) -> str:
        with visitor_errors():
            settings = max_new_chars, temperature, top_k, top_p, min_p, seed
            wanted = TextRequest(prompt, model, sample_config(*settings), off=off)
            updates = generate_text(library, wanted, client_of(request))
            async with aclosing(updates):
                async for progress in read_updates(updates, readers, request.session_hash):
                    yield progress.text

    generate.__doc__ = docstring(
        "Continue a prompt character by character, streaming the text so far, prompt included.",
        prompt="what the text begins with; characters that the model does not know are dropped",
        model=MODEL,
        **setting_notes(),
        off=OFF,
    )
    gr.api(generate, api_name="generate", concurrency_limit=None)


def add_models_endpoint(library):
    def models() -> list[str]:
        """List the names of the models that the other endpoints take."""
        return library.names()

    gr.api(models, api_name="models", queue=False)


def add_snapshots_endpoint(library):
    def snapshots(run: str) -> list[dict]:
        """List the snapshots of a run: their steps, and the validation loss at each.

        A model called "run#step" is the run as it was at that step.

        Args:
            run: One of the names that /models lists.
        """
        with visitor_errors():
            return snapshots_of(library, run)

    gr.api(snapshots, api_name="snapshots", queue=False)


def add_status_endpoints(monitor):
    def runs() -> list[dict]:
        """List the runs, the latest changed first: name, state, step, steps and validation loss."""
        return [
            {name: getattr(status, name) for name in ("name", "state", "step", "steps", "val_loss")}
            for status in monitor.statuses().values()
        ]

    def run_status(run: str, cursor: int = 0) -> dict:
        """Return the state of a run, and its events since a cursor.

        Args:
            run: One of the names that /runs lists.
            cursor: 0 at first, then the cursor of the last answer; a long history comes in parts.
        """
        with visitor_errors():
            status = monitor.status(run)
            events, cursor = monitor.events(run, cursor)
        return {
            "state": status.state,
            "step": status.step,
            "steps": status.steps,
            "eta_seconds": status.eta_seconds,
            "message": status.message,
            "place": status.queue_position,
            "cursor": cursor,
            "events": events,
        }

    gr.api(runs, api_name="runs", queue=False)
    gr.api(run_status, api_name="run_status", queue=False)


def add_training_endpoints(jobs, pool):
    async def start_run(
        request: gr.Request, preset: str = "fast", name: str = "", steps: int = 0, text: str = ""
    ) -> str:
        """Start a training run, or queue it behind a running one; returns its name.

        Args:
            preset: One of bigram, gpt, fast and best.
            name: The name of the run; empty: made from the preset's name.
            steps: The number of optimizer steps; 0: the preset's.
            text: The text to train on; empty: Tiny Shakespeare.
        """
        options = {"steps": steps} if steps else {}
        by, client = Visitor(client_address(request)), client_of(request)
        with visitor_errors():
            start = partial(jobs.start, preset, name, text, by=by, **options)
            return await pool.run(client, start)

    async def stop_run(request: gr.Request, run: str) -> str:
        """Stop a run that was started here, which saves its model; returns its state.

        Args:
            run: One of the names that /runs lists.
        """
        by, client = Visitor(client_address(request)), client_of(request)
        with visitor_errors():
            return await pool.run(client, partial(jobs.stop, run, by=by))

    gr.api(start_run, api_name="start_run", concurrency_limit=None)
    gr.api(stop_run, api_name="stop_run", concurrency_limit=None)
