"""The endpoints that look inside a model: see ui/api.py."""

import gradio as gr

from charlm.config import SampleConfig
from charlm.serving.clients import client_of
from charlm.serving.generate import sample_config
from charlm.serving.inspection import ablations, attention_of, next_alternatives, score_text
from charlm.ui.docstrings import MODEL, OFF, docstring, setting_notes
from charlm.ui.events import visitor_errors


def add_inspection_endpoints(library, default):
    """Register the endpoints in the Blocks being built; `default`: the default model."""
    add_alternatives_endpoint(library, default)

    async def answer(request, function, *arguments):
        """Return function(library, *arguments), computed in the pool for such work."""
        with visitor_errors():
            pool = library.pools.scoring
            return await pool.run(client_of(request), function, library, *arguments)

    async def score(request: gr.Request, text: str, model: str = default, off: str = "") -> dict:
        return await answer(request, score_text, text, model, off)

    async def attention(
        request: gr.Request, text: str, model: str = default, off: str = ""
    ) -> dict:
        return await answer(request, attention_of, text, model, off)

    async def ablation(request: gr.Request, text: str, model: str = default) -> dict:
        return await answer(request, ablations, text, model)

    score.__doc__ = docstring(
        "Measure how much each character of a text surprises a model, in bits.",
        text="the text to score; characters that the model does not know are left out",
        model=MODEL,
        off=OFF,
    )
    attention.__doc__ = docstring(
        "Show which characters each part of a model looks at to predict the one after a text.",
        text="the text before the character",
        model=MODEL,
        off=OFF,
    )
    ablation.__doc__ = docstring(
        "Measure how much a text would surprise a model without each of its parts, in bits.",
        text="the text, of at most 1,000 characters",
        model=MODEL,
    )
    for endpoint in (score, attention, ablation):
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_limit=None)


def add_alternatives_endpoint(library, default):
    async def alternatives(
        request: gr.Request,
        text: str,
        model: str = default,
        temperature: float = SampleConfig.temperature,
        top_k: int = 0,
        top_p: float = 0.0,
        min_p: float = 0.0,
        seed: int = -1,
        off: str = "",
    ) -> dict:
        with visitor_errors():
            config = sample_config(1, temperature, top_k, top_p, min_p, seed)
            return await next_alternatives(library, text, model, config, client_of(request), off)

    settings = setting_notes()
    del settings["max_new_chars"]
    alternatives.__doc__ = docstring(
        "Show what else the character after a text could be, at each step of the sampler.",
        text="the text before the character",
        model=MODEL,
        **settings,
        off=OFF,
    )
    gr.api(alternatives, api_name="alternatives", concurrency_limit=None)
