"""The page as a gr.Blocks that checks what visitors send and describes its API."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.routes import App
from gradio.utils import get_function_description, get_upload_folder

from charlm.errors import CharlmError
from charlm.serving.clients import client_address
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
from charlm.ui.readers import Readers
from charlm.ui.sessions import Session, Sessions

MAX_TYPED_CHARS = 10_000  # in a text box that says no other limit
MAX_CHOICES = 100
MAX_PATH_CHARS = 1_000
SKIP = gr.skip()
# seconds between two looks for new events; at Gradio's 1 ms an idle page takes 8 % of a core
EVENT_POLL = 0.01
PROGRESS_POLL = 1.0  # for gr.Progress, which no event has


class Page(gr.Blocks):
    """Blocks that differ from Gradio's in seven points.

    The inputs of every event and endpoint are checked before Gradio looks at them: it would fetch
    the addresses in objects that look like its files, and report a wrong type without its name.
    `parameters`: see `serving.parameters.endpoint_parameters`; the inputs of other events are
    checked by the component that they come from.

    Answers that nobody reads are dropped: see `readers`.

    Updates of a text, which are plain strings, are passed on as they are.

    An event that ends before its first update, since a newer one began, changes nothing. Gradio
    would empty its outputs.

    The API information describes each parameter as the docstring of its function does. Gradio
    labels the parameters of `gr.api` "1st", "2nd", ... and leaves their descriptions empty.

    The web application is built when it is served. Gradio would build three others before.

    The queue looks for new events a hundred times a second, not a thousand times.
    """

    def __init__(self, parameters, pools, **options):
        """`pools`: the Pools, where nothing waits for a visitor who has left."""
        super().__init__(**options)
        self.parameters = parameters
        self.readers = Readers(lambda: self._queue, pools.leave)

    def queue(self, **options):
        with no_application():
            super().queue(**options)
        self._queue.sleep_when_free = max(EVENT_POLL, self._queue.sleep_when_free)
        self._queue.progress_update_sleep_when_free = PROGRESS_POLL
        return self

    def __exit__(self, *error):
        with no_application():
            super().__exit__(*error)

    @property
    def state_holder(self):
        """The sessions of this page, a `Sessions`."""
        return self._state_holder

    @state_holder.setter
    def state_holder(self, holder):
        holder.__class__ = Sessions  # Gradio makes it before it knows the page
        self._state_holder = holder

    async def process_api(self, block_fn, inputs, iterator=None, **options):
        """Process an event as gr.Blocks does; raises gr.Error for an input that is not allowed."""
        if iterator is None:  # else a generator continues, which reads no inputs
            try:
                inputs = self.check_inputs(block_fn, inputs)
            except CharlmError as error:
                raise visitor_error(error) from None
        session, answer = options.get("event_id") and options.get("session_hash"), {}
        try:
            answer = await super().process_api(block_fn, inputs, iterator=iterator, **options)
            is_over = iterator is None and block_fn.types_generator and not answer["is_generating"]
            if is_over and block_fn.api_visibility == "private":  # it has updated nothing
                answer["data"] = [SKIP] * len(answer["data"])
            return answer
        finally:
            if session:  # the answer, or an error, waits for its reader
                client = client_address(options["request"])
                self.readers.expect(session, client, answer.get("data"))

    def check_inputs(self, block_fn, inputs):
        """Return the inputs of an event with defaults filled in. Raises CharlmError."""
        parameters = self.parameters.get(block_fn.api_name)
        if parameters is None:
            updated = {block._id for fn in self.fns.values() for block in fn.outputs}
            checks = [(name_of(c), parameter_of(c, c._id in updated)) for c in block_fn.inputs]
        else:
            checks = list(parameters.items())
        if len(inputs) > len(checks):
            names = ", ".join(name for name, _ in checks) or "none"
            raise CharlmError(f"{len(inputs)} values were sent; the parameters are: {names}")
        inputs = [*inputs, *[None] * (len(checks) - len(inputs))]
        return [p.check(name, value) for (name, p), value in zip(checks, inputs, strict=True)]

    async def preprocess_data(self, block_fn, inputs, state, explicit_call=False):
        """Return the inputs of an event's function, which are checked already.

        Gradio would keep a copy of each in the session, and know only the choices that the page was
        built with.
        """
        state = state or Session(self)
        blocks = zip(block_fn.inputs, inputs, strict=True)
        return [state[block._id] if block.stateful else value for block, value in blocks]

    async def postprocess_data(self, block_fn, predictions, state):
        """Return an event's outputs as the browser gets them.

        Gradio would build a component for each gr.skip() of each update of a text.
        """
        several = isinstance(predictions, list) and len(block_fn.outputs) > 1
        plain = several and all(isinstance(value, str) or value == SKIP for value in predictions)
        if plain and not block_fn.postprocess:
            self.validate_outputs(block_fn, predictions)
            return predictions
        return await super().postprocess_data(block_fn, predictions, state)

    def get_api_info(self, *args, **kwargs):
        """Return Gradio's API information with each parameter's name and description."""
        info = super().get_api_info(*args, **kwargs)
        for event in self.fns.values():
            if endpoint := info["named_endpoints"].get(f"/{event.api_name}"):
                _, notes, _ = get_function_description(event.fn)
                described = [describe(parameter, notes) for parameter in endpoint["parameters"]]
                endpoint["parameters"] = described
        return info


@contextlib.contextmanager
def no_application():
    """Keep Gradio from building a web application meanwhile."""
    create = App.create_app
    App.create_app = staticmethod(lambda *args, **options: None)
    try:
        yield
    finally:
        App.create_app = staticmethod(create)


class State:
    """The value of a gr.State, which stays on the server: nothing is accepted for it."""

    def check(self, name, value):
        return None


class Upload:
    """A file that was uploaded to this page: Gradio sends an object with its path."""

    def check(self, name, value):
        """Return the path, or None for None. Raises ParameterError if it is no upload's."""
        if value is None:
            return None
        path = value.get("path") if isinstance(value, dict) else None
        if not isinstance(path, str) or len(path) > MAX_PATH_CHARS or "\0" in path:
            raise ParameterError(name, value, "a file uploaded here")
        folder, resolved = Path(get_upload_folder()).resolve(), Path(path).resolve()
        if not (resolved.is_relative_to(folder) and resolved.is_file()):
            raise ParameterError(name, value, "a file uploaded here, some minutes ago at most")
        return str(resolved)


@dataclass(frozen=True)
class OneOf:
    """One of some fixed choices."""

    choices: tuple

    def check(self, name, value):
        """Return the choice. Raises ParameterError."""
        if not isinstance(value, str) or value not in self.choices:
            raise ParameterError(name, value, "one of " + ", ".join(self.choices))
        return value


def name_of(component):
    """Return what messages call a component."""
    return component.label or component.elem_id or "the event"


def parameter_of(component, is_updated):
    """Return the parameter that a component's value is checked against.

    `is_updated`: whether events change the component, and perhaps its choices.
    """
    if isinstance(component, gr.Textbox):
        return Text("", component.max_length or MAX_TYPED_CHARS)
    if isinstance(component, gr.Slider):
        return Number(component.value, component.minimum, component.maximum)
    if isinstance(component, gr.Number):
        kind = Integer if component.precision == 0 else Number
        return kind(None, -MAX_INT, MAX_INT)
    if isinstance(component, gr.Dropdown) and component.multiselect:
        return Choices(MAX_CHOICES)
    if isinstance(component, gr.Radio):
        fixed = OneOf(tuple(value for _, value in component.choices))
        return Text(None, MAX_NAME_CHARS) if is_updated else fixed
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
