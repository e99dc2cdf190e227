"""The model card, README.md: an introduction, a sample, usage, losses, options and limits."""

import json
import textwrap

from charlm.config import notes_of
from charlm.data.baselines import reference_losses
from charlm.data.corpus import SHA256
from charlm.data.perplexity import letters, unsure_between
from charlm.files import write_atomically
from charlm.models.checkpoint import count_parameters, load_description, load_tokenizer
from charlm.runs.log import LOG_FILE, read_events

CARD_FILE = "README.md"
REFERENCES = {  # descriptions of the losses of reference_losses
    "uniform": "a uniform distribution",
    "unigram": "character frequencies",
    "bigram": "counted pairs of characters",
    "lecture": "the lecture's GPT",
    "teachers": "the mean of its teachers' probabilities",
}


def write_card(directory, name=None):
    """Write the model card of a model directory, with the losses logged so far.

    `name`: the directory's final name, if it is still to be renamed. Raises OSError, and
    CharlmError if the directory is damaged.
    """
    events = read_events(directory)[0] if (directory / LOG_FILE).exists() else []
    description, parameters = load_description(directory), count_parameters(directory)
    prompt = example_prompt(load_tokenizer(directory))
    text = local_card(name or directory.name, description, parameters, events, prompt)
    write_atomically(directory / CARD_FILE, text.encode("utf-8", "replace"))


def example_prompt(tokenizer):
    """Return a prompt in a model's own characters: "The ", or its first letter."""
    letters = filter(str.isalpha, tokenizer.chars)
    known = set("The ") <= set(tokenizer.chars)
    return "The " if known else next(letters, tokenizer.start_char)


def local_card(name, description, parameters, events, prompt):
    """Return the card of a model directory called `name`.

    `events`: those of its run.jsonl. `prompt`: an example.
    """
    usage = f"""{load_with_charlm(f"checkpoints/{name}", prompt)}

`python train.py --resume --name {name} --push` pushes it to the Hugging Face Hub."""
    return card(name, "charlm", usage, description, parameters, events)


def repo_card(repo_id, description, parameters, events, prompt, unknown_to_transformers=""):
    """Return the card of a Hub repository, "user/name".

    `events`: those of its run.jsonl. `prompt`: an example. `unknown_to_transformers`: why
    transformers cannot load the model; "" if it can.
    """
    usage = load_with_charlm(repo_id, prompt)
    if unknown_to_transformers:
        usage += f"\n\ntransformers cannot load it: {unknown_to_transformers}."
    else:
        usage += "\n\n" + load_with_transformers(repo_id, prompt, description.model.block_size)
    library = "charlm" if unknown_to_transformers else "transformers"
    return card(repo_id.split("/")[-1], library, usage, description, parameters, events)


def card(name, library, usage, description, parameters, events):
    evaluations = [event for event in events if event["event"] == "eval"]
    sections = [
        metadata(name, library, description, evaluations),
        introduction(name, description, parameters, evaluations),
        sample(events),
        usage,
        losses(events, evaluations),
        hyperparameters(description),
        teachers(description),
        limits(description),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def metadata(name, library, description, evaluations):
    """Return the YAML front matter. Its values are JSON, which YAML includes."""
    shakespeare = description.data["sha256"] == SHA256
    fields = {
        "license": "mit" if shakespeare else "unknown",
        "library_name": library,
        "pipeline_tag": "text-generation",
        "tags": ["charlm", "character-level", description.kind],
    }
    if shakespeare:
        fields |= {"language": "en", "datasets": ["karpathy/tiny_shakespeare"]}
    if evaluations:
        results = [evaluation_result(description.data["name"], evaluations[-1]["val_loss"])]
        fields["model-index"] = [{"name": name, "results": results}]
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    return "\n".join(["---", *lines, "---"])


def evaluation_result(data_name, val_loss):
    """Return a loss as the Hub's metadata describes it, an entry of model-index."""
    return {
        "task": {"type": "text-generation"},
        "dataset": {"type": data_name, "name": data_name, "split": "the last tenth"},
        "metrics": [
            {
                "type": "loss",
                "name": "validation loss, nats per character",
                "value": round(val_loss, 4),
            }
        ],
    }


def introduction(name, description, parameters, evaluations):
    text = (
        f"# {name}\n\nA character-level language model with {parameters:,} parameters, trained from"
        f" scratch with charlm on `{description.data['name']}`."
    )
    if evaluations:
        last = evaluations[-1]
        text += (
            f" After {last['step']:,} steps, its validation loss is {last['val_loss']:.4f} nats per"
            " character, the mean over the last tenth of the text, which it was not trained on: it"
            f" is {unsure_between(last['val_loss'], description.model.vocab_size)}."
        )
    return text


def sample(events):
    """Return the latest sample, indented, so that Markdown shows it verbatim."""
    texts = [event["text"] for event in events if event["event"] == "sample"]
    if not texts or not texts[-1].strip():
        return ""
    return "## Sample\n\n" + textwrap.indent(texts[-1].strip("\n"), "    ")


def load_with_charlm(source, prompt):
    return f"""## Load it

With charlm:

    import charlm

    model, tokenizer = charlm.load("{source}")
    print(charlm.generate(model, tokenizer, {quoted(prompt)}, max_new_chars=300))"""


def quoted(prompt):
    """Return a string literal for a prompt."""
    return json.dumps(prompt, ensure_ascii=False)


def load_with_transformers(repo_id, prompt, block_size):
    prompt = prompt[: max(1, block_size - 1)]
    # transformers does not drop the oldest characters
    most = max(1, min(200, block_size - len(prompt)))
    return f"""With transformers, without remote code, as far as its context reaches:

    from transformers import pipeline

    generate = pipeline("text-generation", "{repo_id}")
    outputs = generate({quoted(prompt)}, max_new_tokens={most}, do_sample=True, temperature=0.8)
    print(outputs[0]["generated_text"])"""


def losses(events, evaluations):
    if not evaluations:
        return ""
    rows = "\n".join(
        f"| {e['step']:,} | {e['train_loss']:.4f} | {e['val_loss']:.4f}"
        f" | {letters(e['val_loss'])} |"
        for e in evaluations
    )
    start = next(event for event in events if event["event"] == "start")
    references = ", ".join(
        f"{REFERENCES[name]} {loss:.4f} ({letters(loss)})"
        for name, loss in reference_losses(start).items()
    )
    return f"""## Loss

| step | training loss | validation loss | as unsure as between |
|---|---|---|---|
{rows}

In nats per character. For comparison: {references}."""


def hyperparameters(description):
    return "## Hyperparameters\n\n" + table_of_options(description.model, description.training)


def table_of_options(*configs):
    rows = "\n".join(
        f"| `{name}` | {value} | {notes_of(type(config))[name]} |"
        for config in configs
        for name, value in vars(config).items()
    )
    return f"| name | value | meaning |\n|---|---|---|\n{rows}"


def teachers(description):
    taught = description.distillation
    if not taught:
        return ""
    rows = "\n".join(f"| {t['name']} | `{t['sha256']}` |" for t in taught.teachers)
    options = table_of_options(taught.config)
    return f"""## Teachers

It learned the mean of these models' probabilities, on the training text and on text that they
wrote:

| teacher | SHA-256 of its weights |
|---|---|
{rows}

{options}"""


def limits(description):
    model = description.model
    return (
        f"## Limits\n\nIt knows {model.vocab_size} different characters and sees only the last"
        f" {model.block_size} of a text. It imitates the style of its training text: it knows no"
        " facts, follows no instructions, and may repeat offensive passages of that text."
    )
