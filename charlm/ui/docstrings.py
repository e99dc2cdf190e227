"""The docstrings of endpoints, from which Gradio makes the API page and the tools' schemas."""

from charlm.config import SampleConfig, notes_of

MODEL = (
    "one of the names that /models lists, or one with # and the step of a snapshot: two-minutes#540"
)
OFF = (
    "parts of the model to switch off, separated by commas: L.headH for an attention head, L.conv"
    " for a convolution, L.mlp for a feed-forward layer, L for a whole block, counted from 0"
)


def docstring(summary, **notes):
    """Return an endpoint's docstring; `notes`: on each parameter, without the full stop."""
    arguments = [f"    {name}: {note[0].upper()}{note[1:]}." for name, note in notes.items()]
    return "\n".join([summary, "", "Args:", *arguments])


def setting_notes():
    """Return the notes on the settings of a generation, by name, as SampleConfig has them."""
    notes = notes_of(SampleConfig)
    return notes | {"seed": f"{notes['seed']}; -1 is random"}
