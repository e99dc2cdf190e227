"""The schema of run.jsonl: the fields of each event, with types and bounds.

A log may come from the Hub. Code that reads events relies on what is checked here.
"""

from charlm.files import parse_json
from charlm.models.checkpoint import MAX_TEACHERS

MAX_NUMBER = 1e39  # no finite float32 exceeds it, so a run that diverges still has a log
MAX_TIME = 1e15  # seconds
MAX_DATE = 10**11  # Unix time; the year 5138, which the calendar of every time zone has
MAX_TEXT = 10_000  # characters of a sample; longer ones are cut
MAX_MESSAGE = 500  # characters of a message, and of a note
MAX_NAME = 100  # characters of any other text
MAX_NOTES = 20
MAX_OPTIONS = 100  # of a config
MAX_VOCAB = 0x110000  # Unicode has no more characters


def step_number(value):
    require(type(value) is int and value >= 0)
    return value


def seconds(value):
    require(type(value) in (int, float) and 0 <= value <= MAX_TIME)
    return value


def date(value):
    require(type(value) is int and 0 <= value <= MAX_DATE)
    return value


def number(value):
    require(type(value) in (int, float) and abs(value) <= MAX_NUMBER)
    return value


def flag(value):
    require(type(value) is bool)
    return value


def text_of(most):
    """Return a function that checks a text and cuts it to `most` characters."""

    def cut(value):
        require(type(value) is str)
        # a lone surrogate cannot be sent to a browser
        return value[:most].encode("utf-8", "replace").decode()

    return cut


name, message = text_of(MAX_NAME), text_of(MAX_MESSAGE)


def notes(value):
    require(type(value) is list)
    return [message(note) for note in value[:MAX_NOTES]]


def losses(value):
    """Check the losses to compare a run with, by name; drop unknown ones."""
    require(type(value) is dict)
    known = ("uniform", "unigram", "bigram", "teachers")
    return {model: number(value[model]) for model in known if model in value}


def data(value):
    """Check the name and SHA-256 of the text that a run was trained on, or of a teacher."""
    require(type(value) is dict)
    return {key: name(value.get(key, "")) for key in ("name", "sha256")}


def config(value):
    """Check the config of a run: its kind, and the options of the model and of the training."""
    require(type(value) is dict)
    parts = {key: options(value[key]) for key in ("model", "training") if key in value}
    if "kind" in value:
        parts["kind"] = name(value["kind"])
    if "distillation" in value:
        parts["distillation"] = distillation(value["distillation"])
    return parts


def distillation(value):
    """Check how a model was taught: the options, and its teachers."""
    require(type(value) is dict and type(value["teachers"]) is list)
    teachers = [data(teacher) for teacher in value["teachers"][:MAX_TEACHERS]]
    return {"options": options(value["options"]), "teachers": teachers}


def options(value):
    """Check options: a number, flag or short text each, under a short name."""
    require(type(value) is dict and len(value) <= MAX_OPTIONS)
    checked = {name(key): option(each) for key, each in value.items()}
    vocab_size = checked.get("vocab_size", 1)
    require(type(vocab_size) is int and 1 <= vocab_size <= MAX_VOCAB)
    return checked


def option(value):
    require(type(value) in (int, float, bool, str))
    return name(value) if type(value) is str else value


COMMON = {"step": step_number, "time": seconds}
REQUIRED = {
    "start": {"config": config, "data": data},
    "step": {"loss": number, "lr": number, "chars_per_second": number},
    "eval": {"train_loss": number, "val_loss": number},
    "sample": {"text": text_of(MAX_TEXT)},
    "snapshot": {"val_estimate": number},
    "end": {"reason": name},
}
OPTIONAL = {
    "start": {
        "started": date,
        "baselines": losses,
        "parameters": step_number,
        "device": name,
        "precision": name,
        "mkl_cbwr": name,
        "compiled": flag,
        "notes": notes,
    },
    "eval": {"val_estimate": number},
    "sample": {"words": number, "lines": number, "speaker": name},
    "snapshot": {"message": message},
    "end": {"message": message},
}


def require(holds):
    """Raise ValueError unless a value fits the schema."""
    if not holds:
        raise ValueError


def parse_line(line):
    """Return the event of a line with the fields of the schema, in the line's order.

    Fields that the schema does not know are dropped, long texts cut. Raises ValueError, TypeError,
    KeyError or RecursionError for a line that is no event.
    """
    record = parse_json(line)
    require(type(record) is dict)
    event = name(record["event"])
    required = COMMON | REQUIRED.get(event, {})
    require(required.keys() <= record.keys())
    fields = {"event": name} | required | OPTIONAL.get(event, {})
    return {key: fields[key](value) for key, value in record.items() if key in fields}
