"""Which characters each part of a model looked at, against transformers."""

import json

import pytest
import torch
import torch.nn.functional as F
from small_models import LECTURE, make_model

from charlm.data.tokenizer import CharTokenizer
from charlm.generation.stream import context_start
from charlm.inspection.attention import attention
from charlm.inspection.scores import TOP_CHARS
from charlm.models.parts import parts_of
from charlm.models.transformers_format import to_transformers

TOKENIZER = CharTokenizer.fit("\nabcdefghij")
TEXTS = ["a", "bad", "badge\ncafe hid"[:14].replace(" ", "\n"), "badgecafehidjig\n", "a\nbadge" * 9]
NETWORKS = {
    "gpt2": LECTURE,
    "gpt2 without biases": LECTURE | {"bias": False},
    "lfm2": {"n_layer": 3, "attention_every": 2, "conv_size": 3},
    "lfm2 of heads": {"attention_every": 1, "embd_norm": False},
}
OFFS = [[], ["0"], ["1.head1"], ["0.mlp", "1.head0"], ["1"], ["0.conv", "1.mlp"], ["0.head0"]]


def their_model(model, off):
    """Return a network of transformers in which what the parts add is zero."""
    from transformers import AutoConfig, AutoModelForCausalLM

    _, fields, tensors = to_transformers("gpt", model.config, model.state_dict())
    gpt2 = fields["model_type"] == "gpt2"
    size = model.config.n_embd // model.config.n_head
    tensors = {name: t.clone() for name, t in tensors.items()}
    outputs = {"conv": [".conv.out_proj", ".attn.c_proj"], "mlp": [".w2", ".mlp.c_proj"]}
    outputs[""] = [".self_attn.out_proj", *outputs["conv"], *outputs["mlp"]]
    for part in off:
        layer, _, name = part.partition(".")
        prefix = f"transformer.h.{layer}." if gpt2 else f"model.layers.{layer}."
        if name.startswith("head"):
            channels = slice(int(name[4:]) * size, (int(name[4:]) + 1) * size)
            if gpt2:  # which stores it transposed
                tensors[prefix + "attn.c_proj.weight"][channels] = 0
            else:
                tensors[prefix + "self_attn.out_proj.weight"][:, channels] = 0
        else:
            for key, t in tensors.items():
                module = key.rpartition(".")[0]
                if key.startswith(prefix) and module.endswith(tuple(outputs[name])):
                    t.zero_()
    config = AutoConfig.for_model(**fields, attn_implementation="eager")
    theirs = AutoModelForCausalLM.from_config(config).eval()
    theirs.load_state_dict(tensors, strict=True)
    return theirs


def their_convolution(conv, x):
    """Return how long each character's summand of an LFM2 convolution is, of all: (T,)."""
    gate_in, gate_out, value = conv.in_proj(x).chunk(3, dim=-1)  # (1, T, C)
    T, kernel = x.size(1), conv.conv.weight[:, 0]  # (C, size)
    lengths = torch.zeros(T)
    for i in range(T):
        if (age := T - 1 - i) < kernel.size(1):
            tap = gate_in[0, i] * value[0, i] * kernel[:, -1 - age]
            lengths[i] = conv.out_proj(tap * gate_out[0, -1]).norm()
    return lengths / lengths.sum()


def their_view(theirs, ids):
    """Return transformers' heads of each layer, its lens, and its logits, after the last id."""
    convolutions = []
    for block in [b for b in getattr(theirs.model, "layers", []) if hasattr(b, "conv")]:
        block.conv.register_forward_pre_hook(
            lambda conv, args, kwargs: convolutions.append(
                their_convolution(conv, *args, kwargs["hidden_states"])
            ),
            with_kwargs=True,
        )
    return convolutions
