"""Parameter descriptions for the API page, API clients and the OpenAPI schema."""

import gradio as gr
from gradio.utils import get_function_description


class Page(gr.Blocks):
    """Blocks whose API information describes each parameter as its function's docstring does.

    `gr.api` takes the description of an endpoint from the docstring, but labels its parameters
    "1st", "2nd", ... and leaves their descriptions empty. MCP clients get them from the docstring
    without our help.
    """

    def get_api_info(self, *args, **kwargs):
        """Return Gradio's API information with each parameter's name and description."""
        info = super().get_api_info(*args, **kwargs)
        for event in self.fns.values():
            if endpoint := info["named_endpoints"].get(f"/{event.api_name}"):
                _, notes, _ = get_function_description(event.fn)
                described = [describe(parameter, notes) for parameter in endpoint["parameters"]]
                endpoint["parameters"] = described
        return info


def describe(parameter, notes):
    """Return an endpoint's parameter with its name as the label, and its note.

    The API page and the Python client read the note of `python_type`, the OpenAPI schema that of
    the JSON schema `type`.
    """
    name = parameter["parameter_name"]
    note = {"description": notes[name]}
    return parameter | {
        "label": name,
        "type": parameter["type"] | note,
        "python_type": parameter["python_type"] | note,
    }
