"""Which characters each part of a model looked at, against transformers."""

import json

import pytest
import torch
from small_models import LECTURE, make_model

from charlm.data.tokenizer import CharTokenizer
from charlm.generation.stream import context_start
from charlm.inspection.attention import attention, lens
from charlm.inspection.patterns import masks_of, patterns
from charlm.inspection.scores import TOP_CHARS
from charlm.models.gpt import GPT
from charlm.models.parts import parts_of
from charlm.models.transformers_format import to_transformers

TOKENIZER = CharTokenizer.fit("\nabcdefghij")
TEXTS = ["a", "bad", "badgecafehidjig\n", "badgecafehidjig\na", "a\nbadge" * 9]
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
    """Return the share of each character in the last output of an LFM2 convolution: (T,)."""
    kernel, shares = conv.conv.weight.clone(), torch.zeros(x.size(1))
    for age in range(min(x.size(1), conv.conv_kernel_size)):
        conv.conv.weight.zero_()
        conv.conv.weight[..., -1 - age] = kernel[..., -1 - age]
        shares[-1 - age] = conv(x)[0, -1].norm()
    conv.conv.weight.copy_(kernel)
    return shares / shares.sum()


def their_layers(out, config, whole):
    """Return transformers' weights of each layer's heads, (heads, T); `whole`: nothing is off."""
    attentions, layers = iter(out.attentions), []
    for layer in range(config.n_layer):
        if config.attends(layer):
            layers.append(next(attentions)[0, :, -1])
        else:
            block, x = whole.model.layers[layer], out.hidden_states[layer]
            layers.append(their_convolution(block.conv, block.operator_norm(x))[None])
    return layers


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_heads_and_lens_are_those_of_transformers(network):
    model = make_model("today", TOKENIZER.vocab_size, **NETWORKS[network])
    config, whole = model.config, their_model(model, [])
    last_norm = whole.transformer.ln_f if "gpt2" in network else whole.model.embedding_norm
    for off in OFFS:
        if not set(off) <= set(parts_of(model)):
            continue
        theirs = their_model(model, off)
        for text in TEXTS:
            result = attention(model, TOKENIZER, text, off)
            start = context_start(len(text), config.block_size)
            ids = torch.tensor([TOKENIZER.encode(text[start:])])
            out = theirs(ids, output_attentions=True, output_hidden_states=True, use_cache=False)
            assert result["start"] == start
            expected = their_layers(out, config, whole)
            for i, (layer, heads) in enumerate(zip(result["layers"], expected, strict=True)):
                kind = "attention" if config.attends(i) else "convolution"
                assert (layer["layer"], layer["kind"]) == (i, kind)
                close(torch.tensor(layer["heads"]), heads)
                assert [sum(head) for head in layer["heads"]] == pytest.approx([1] * len(heads))
            # after the last block, hidden_states are those behind the last norm
            logits = [whole.lm_head(last_norm(x)) for x in out.hidden_states[:-1]]
            logits = torch.cat([*logits, out.logits])[:, -1]
            assert len(result["lens"]) == config.n_layer + 1 == len(logits)
            for shown, p in zip(result["lens"], logits.softmax(-1), strict=True):
                check_top(shown, p)


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_patterns_are_those_of_the_attentions_of_transformers(network):
    model = make_model("today", TOKENIZER.vocab_size, **NETWORKS[network])
    for off in ([], ["0.mlp"]):
        theirs, found = their_model(model, off), set()
        for text in TEXTS[1:]:
            result = attention(model, TOKENIZER, text, off)
            context = text[result["start"] :]
            out = theirs(torch.tensor([TOKENIZER.encode(context)]), output_attentions=True)
            layers = [layer for layer in result["layers"] if layer["kind"] == "attention"]
            for layer, weights in zip(layers, out.attentions, strict=True):
                expected = patterns(weights[0], masks_of(context))
                for own, other in zip(layer["patterns"], expected, strict=True):
                    assert own == pytest.approx(other, abs=1e-3)
                    found.add(own["closest"])
        assert len(found) > 1


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-3)


def check_top(shown, p):
    """Assert that [[char, probability], ...] are the likeliest of the probabilities p (V,)."""
    chars, probabilities = zip(*shown, strict=True)
    close(torch.tensor(probabilities), p.topk(TOP_CHARS).values)
    close(torch.tensor(probabilities), p[TOKENIZER.encode(chars)])


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_the_last_of_the_lens_is_what_the_model_predicts(network):
    model = make_model("today", TOKENIZER.vocab_size, **NETWORKS[network])
    for text in TEXTS:
        result = attention(model, TOKENIZER, text)
        ids = TOKENIZER.encode(text)[result["start"] :]
        check_top(result["lens"][-1], model(torch.tensor([ids]))[0, -1].softmax(-1))
        assert (
            lens(model, TOKENIZER, text, ("1.mlp",))
            == (attention(model, TOKENIZER, text, ("1.mlp",))["lens"])
        )


@torch.no_grad()
def test_a_bigram_model_has_one_prediction_and_no_layers():
    model = make_model("bigram", TOKENIZER.vocab_size)
    for text in TEXTS:
        result = attention(model, TOKENIZER, text)
        assert result["layers"] == []
        assert result["start"] == context_start(len(text), 16)
        assert lens(model, TOKENIZER, text) == result["lens"]
        (top,) = result["lens"]
        check_top(top, model(torch.tensor([TOKENIZER.encode(text[-1])]))[0, -1].softmax(-1))


def test_a_convolution_that_adds_nothing_has_equal_shares():
    """As in a model that has not been trained, whose output layers are zero."""
    config = make_model("today", TOKENIZER.vocab_size, attention_every=3).config
    for text, shares in (("ab", [1 / 2] * 2), ("abcdef", [0] * 2 + [1 / 4] * 4)):
        result = attention(GPT(config).eval(), TOKENIZER, text)
        assert [layer["heads"] for layer in result["layers"]] == [[pytest.approx(shares)]] * 2
        json.dumps(result, allow_nan=False)
