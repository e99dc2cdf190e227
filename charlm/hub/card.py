"""The model card: what the model is, how it came about, how to load it, what not to expect."""

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from charlm.config import notes_of
from charlm.data.baselines import reference_losses
from charlm.data.corpus import SHA256

REFERENCES = {
    "uniform": "every character alike",
    "unigram": "character frequencies",
    "bigram": "pairs of characters, counted",
    "lecture": "the lecture's GPT",
}


def model_card(repo_id, description, parameters, events, unknown_to_transformers=""):
    """The ModelCard of a run for its repository.

    `events`: those of run.jsonl. `unknown_to_transformers`: why it cannot load it; "" if it can.
    """
    shakespeare = description.data["sha256"] == SHA256
    evaluations = [event for event in events if event["event"] == "eval"]
    data = ModelCardData(
        license="mit" if shakespeare else "unknown",
        library_name="charlm" if unknown_to_transformers else "transformers",
        pipeline_tag="text-generation",
        language="en" if shakespeare else None,
        tags=["charlm", "character-level", description.kind],
        datasets=["karpathy/tiny_shakespeare"] if shakespeare else None,
        model_name=repo_id.split("/")[-1],
        eval_results=[result(description, evaluations[-1])] if evaluations else None,
    )
    parts = [
        introduction(repo_id, description, parameters, evaluations),
        sample(events),
        usage(repo_id, description.model.block_size, unknown_to_transformers),
        losses(events, evaluations),
        hyperparameters(description),
        limits(description),
    ]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(filter(None, parts)) + "\n")


def result(description, evaluation):
    return EvalResult(
        task_type="text-generation",
        dataset_type=description.data["name"],
        dataset_name=description.data["name"],
        dataset_split="the last tenth",
        metric_type="loss",
        metric_name="validation loss, nats per character",
        metric_value=round(evaluation["val_loss"], 4),
    )


def introduction(repo_id, description, parameters, evaluations):
    told = (
        f"# {repo_id.split('/')[-1]}\n\nA language model of {parameters:,} parameters that writes"
        f" one character at a time, trained from scratch by charlm on `{description.data['name']}`."
    )
    if evaluations:
        last = evaluations[-1]
        told += (
            f" After {last['step']:,} steps its validation loss is {last['val_loss']:.4f} nats per"
            " character, over the whole last tenth of the text, which it never learned from."
        )
    return told


def sample(events):
    """What it wrote last; indented, so that nothing in it is markup."""
    texts = [event["text"] for event in events if event["event"] == "sample"]
    if not texts or not texts[-1].strip():
        return ""
    lines = "\n".join("    " + line for line in texts[-1].strip("\n").splitlines())
    return f"## What it writes\n\n{lines}"


def usage(repo_id, block_size, unknown_to_transformers):
    told = f"""## Load it

With charlm:

    import charlm

    model, tokenizer = charlm.load("{repo_id}")
    print(charlm.generate(model, tokenizer, "The ", max_new_chars=300))"""
    if unknown_to_transformers:
        return f"{told}\n\ntransformers cannot load it: {unknown_to_transformers}."
    most = min(200, block_size - len("The "))  # transformers does not drop what is too far back
    return f"""{told}

With transformers, without charlm and without remote code, for as long as its context reaches:

    from transformers import pipeline

    write = pipeline("text-generation", "{repo_id}")
    written = write("The ", max_new_tokens={most}, do_sample=True, temperature=0.8)
    print(written[0]["generated_text"])"""


def losses(events, evaluations):
    if not evaluations:
        return ""
    rows = "\n".join(
        f"| {e['step']:,} | {e['train_loss']:.4f} | {e['val_loss']:.4f} |" for e in evaluations
    )
    start = next(event for event in events if event["event"] == "start")
    references = ", ".join(
        f"{REFERENCES[name]} {loss:.4f}" for name, loss in reference_losses(start).items()
    )
    return f"""## Loss

| step | training loss | validation loss |
|---|---|---|
{rows}

In nats per character. For comparison: {references}."""


def hyperparameters(description):
    rows = "\n".join(
        f"| `{name}` | {value} | {notes_of(type(config))[name]} |"
        for config in (description.model, description.training)
        for name, value in vars(config).items()
    )
    return f"## Hyperparameters\n\n| name | value | meaning |\n|---|---|---|\n{rows}"


def limits(description):
    model = description.model
    return f"""## Limits

It knows {model.vocab_size} characters and looks at no more than the last {model.block_size} of
them. It imitates the sound of the text it learned from: it knows no facts, follows no instructions,
and may repeat what that text says, offensive passages included."""
