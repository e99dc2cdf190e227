"""The page as a gr.Blocks that checks what visitors send and describes its API."""

import gradio as gr
from gradio.utils import get_function_description

from charlm.errors import CharlmError
from charlm.serving.parameters import (
    MAX_INT,
    MAX_NAME_CHARS,
    Choices,
    Integer,
    Number,
    ParameterError,
    Text,
)
from charlm.ui.events import visitor_error

MAX_TYPED_CHARS = 10_000  # in a text box that says no other limit
MAX_CHOICES = 100


class Page(gr.Blocks):
    """Blocks with two additions.

    The inputs of every event and endpoint are checked before Gradio looks at them: it would fetch
    the addresses in objects that look like its files, and report a wrong type without its name.
    `parameters`: see `serving.parameters.endpoint_parameters`; the inputs of other events are
    checked by the component that they come from.

    The API information describes each parameter as the docstring of its function does. Gradio
    labels the parameters of `gr.api` "1st", "2nd", ... and leaves their descriptions empty.
    """

    def __init__(self, parameters, **options):
        super().__init__(**options)
        self.parameters = parameters

    async def process_api(self, block_fn, inputs, iterator=None, **options):
        """Process an event as gr.Blocks does; raises gr.Error for an input that is not allowed."""
        if iterator is None:  # else a generator continues, which reads no inputs
            try:
                inputs = self.check_inputs(block_fn, inputs)
            except CharlmError as error:
                raise visitor_error(error) from None
        return await super().process_api(block_fn, inputs, iterator=iterator, **options)

    def check_inputs(self, block_fn, inputs):
        """Return the inputs of an event with defaults filled in. Raises CharlmError."""
        parameters = self.parameters.get(block_fn.api_name)
        if parameters is None:
            checks = [(c.label or c.elem_id, parameter_of(c)) for c in block_fn.inputs]
        else:
            checks = list(parameters.items())
        if len(inputs) > len(checks):
            names = ", ".join(name for name, _ in checks) or "none"
            raise CharlmError(f"{len(inputs)} values were sent; the parameters are: {names}")
        inputs = [*inputs, *[None] * (len(checks) - len(inputs))]
        return [p.check(name, value) for (name, p), value in zip(checks, inputs, strict=True)]

    def get_api_info(self, *args, **kwargs):
        """Return Gradio's API information with each parameter's name and description."""
        info = super().get_api_info(*args, **kwargs)
        for event in self.fns.values():
            if endpoint := info["named_endpoints"].get(f"/{event.api_name}"):
                _, notes, _ = get_function_description(event.fn)
                described = [describe(parameter, notes) for parameter in endpoint["parameters"]]
                endpoint["parameters"] = described
        return info


class State:
    """The value of a gr.State, which stays on the server: nothing is accepted for it."""

    def check(self, name, value):
        return None


class Upload:
    """A file that was uploaded to this page: an object with its path."""

    def check(self, name, value):
        """Return what Gradio needs of the object; it checks that the path is an upload's."""
        if value is None:
            return None
        path = value.get("path") if isinstance(value, dict) else None
        if not isinstance(path, str) or len(path) > 1000:
            raise ParameterError(name, value, "a file uploaded here")
        file_name = Text(None, MAX_NAME_CHARS).check(name, value.get("orig_name"))
        return {"path": path, "orig_name": file_name, "meta": {"_type": "gradio.FileData"}}


def parameter_of(component):
    """Return the parameter of a private event that a component's value is checked against."""
    if isinstance(component, gr.Textbox):
        return Text("", component.max_length or MAX_TYPED_CHARS)
    if isinstance(component, gr.Slider):
        return Number(component.value, component.minimum, component.maximum)
    if isinstance(component, gr.Number):
        kind = Integer if component.precision == 0 else Number
        return kind(None, -MAX_INT, MAX_INT)
    if isinstance(component, gr.Dropdown) and component.multiselect:
        return Choices(MAX_CHOICES)
    if isinstance(component, gr.Radio | gr.Dropdown):
        return Text(None, MAX_NAME_CHARS)
    return {gr.State: State, gr.File: Upload}[type(component)]()


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
