"""Small texts, models and runs that many tests share."""

import copy
import random

import torch

from charlm.config import BigramConfig, GPTConfig, TrainConfig
from charlm.models import checkpoint

WORDS = [
    "the",
    "king",
    "of",
    "all",
    "our",
    "sorrow",
    "hath",
    "no",
    "crown",
    "but",
    "love",
    "and",
    "war",
    "my",
    "lord",
]

LECTURE = {
    "position": "learned",
    "norm": "layernorm",
    "qk_norm": False,
    "activation": "relu",
    "bias": True,
    "embd_norm": False,
    "zero_init": False,
}
SMALL = {"block_size": 16, "n_layer": 2, "n_head": 2, "n_embd": 16}
# flags for a run of train.py that takes seconds
SMALL_FLAGS = "--n-layer 2 --attention-every 2 --n-head 2 --n-embd 16 --block-size 16"
SMALL_FLAGS += " --batch-size 4 --eval-iters 2 --sample-chars 20 --snapshots 0 --compile off"
SMALL_FLAGS = SMALL_FLAGS.split()


def make_text(lines=120, seed=1):
    rng = random.Random(seed)
    speeches = []
    for _ in range(lines):
        words = " ".join(rng.choice(WORDS) for _ in range(7))
        speeches.append(f"{rng.choice(['KING', 'Queen'])}:\n{words.capitalize()}.\n")
    # special characters of HTML and of templates, which the page must escape
    return "\n".join(speeches) + "\nthe <b>king</b> & {{all}} ${value} = (love);\n"


def make_model(name, vocab_size, **changes):
    description = describe(name, vocab_size, **changes)
    model = description.build()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.3)
    return model.eval()


def describe(name, vocab_size, **changes):
    if name == "bigram":
        config, kind = BigramConfig(vocab_size, 16), "bigram"
    else:
        shape = SMALL | (LECTURE if name == "lecture" else {}) | changes
        config, kind = GPTConfig(vocab_size=vocab_size, **shape), "gpt"
    data = {"name": "small.txt", "sha256": "0" * 64}
    return checkpoint.Description(kind, config, small_training(), data)


def small_training(**changes):
    options = {"steps": 12, "batch_size": 4, "eval_interval": 4, "eval_iters": 2, "log_interval": 2}
    return TrainConfig(**(options | {"compile": "off", "snapshots": 0} | changes))


def damage(directory, file, change):
    """Replace the bytes of a file by `change(bytes)`."""
    path = directory / file
    path.write_bytes(change(path.read_bytes()))


def without_parts(model, parts):
    """Return a copy of a GPT in which the weights that carry what the parts add are zero."""
    model = copy.deepcopy(model)
    for part in parts:
        layer, _, name = part.partition(".")
        block = model.blocks[int(layer)]
        if name.startswith("head"):
            size, head = block.mixer.head_size, int(name.removeprefix("head"))
            block.mixer.proj.weight.data[:, head * size : (head + 1) * size] = 0
        else:
            outputs = {"conv": [block.mixer.proj], "mlp": [block.feed_forward.down]}
            outputs[""] = outputs["conv"] + outputs["mlp"]
            for p in [p for linear in outputs[name] for p in linear.parameters()]:
                p.data.zero_()
    return model
