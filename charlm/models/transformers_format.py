"""Convert a GPT to a network of transformers, LFM2 or GPT-2, and back.

transformers then loads it without charlm's code. Today's network differs from LFM2 (Liquid AI 2025)
in two points. The norm after the embedding depends on the character alone, so the embedding table
can hold its result. And ReLU squared equals a gated layer whose gate is steep enough to be either 0
or 1. The lecture's network differs from GPT-2 (Radford et al. 2019) in the bias before the logits,
which the last norm's bias can express.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F

from charlm.errors import CharlmError

# |silu(GATE u) u / GATE - relu(u)^2| < 0.5 / GATE^2. Larger ones leave float16's range, and
# multiplication by a power of two is exact
GATE = 2.0**8
OLD_GATE = 2.0**12  # of exports that divided by it in w2
LFM2 = {  # charlm's names in a block: LFM2's
    "norm_1.weight": "operator_norm.weight",
    "norm_2.weight": "ffn_norm.weight",
    "feed_forward.down.weight": "feed_forward.w2.weight",
    "mixer.query.weight": "self_attn.q_proj.weight",
    "mixer.key.weight": "self_attn.k_proj.weight",
    "mixer.value.weight": "self_attn.v_proj.weight",
    "mixer.norm_q.weight": "self_attn.q_layernorm.weight",
    "mixer.norm_k.weight": "self_attn.k_layernorm.weight",
}
LFM2_PROJ = {True: "self_attn.out_proj.weight", False: "conv.out_proj.weight"}  # attends?
CONV = ("mixer.gate_in.weight", "mixer.gate_out.weight", "mixer.value.weight")
QKV = ("mixer.query.weight", "mixer.key.weight", "mixer.value.weight")
GPT2 = {"norm_1": "ln_1", "norm_2": "ln_2"}
GPT2_LINEAR = {  # GPT-2 stores these transposed, (in, out)
    "mixer.proj": "attn.c_proj",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
}


class ConvertError(CharlmError):
    """transformers has no network for a model; the message gives the reason."""


def family(config):
    """Return the network of transformers that a GPTConfig fits: "lfm2", "gpt2" or None."""
    if not config.out_norm:
        return None
    today = (config.position, config.norm, config.activation) == ("rotary", "rmsnorm", "relu2")
    if today and config.qk_norm and not config.bias and config.attention_every <= config.n_layer:
        return "lfm2"
    lecture = (config.position, config.norm) == ("learned", "layernorm")
    extras = config.qk_norm or config.embd_norm or config.attention_every > 1
    fits = not config.bias or config.vocab_size <= config.n_embd  # see `without_head_bias`
    return "gpt2" if lecture and not extras and fits else None


def convert_if_possible(kind, config, tensors):
    """Call to_transformers, or return a model that it cannot convert unchanged.

    Returns (config, fields, state dict); for a model that is not converted, `fields` is empty.
    """
    try:
        return to_transformers(kind, config, tensors)
    except ConvertError:
        return config, {}, tensors


def to_transformers(kind, config, tensors):
    """Convert a GPT's config and state dict; returns (config, fields, state dict).

    `config`: the GPTConfig of the converted network, which computes the same logits. `fields`:
    those of transformers' config.json. Raises ConvertError if transformers has no such network.
    """
    if kind != "gpt":
        raise ConvertError("it has no network like the bigram model, a table")
    if not family(config):
        raise ConvertError("it has no network with this combination of options")
    export = {"lfm2": to_lfm2, "gpt2": to_gpt2}[family(config)]
    shared = {
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "dtype": "float32",
    }
    config, fields, tensors = export(config, tensors)
    return config, fields | shared, {name: t.contiguous() for name, t in tensors.items()}


def from_transformers(config, tensors):
    """Return the state dict of a GPT from the one that `to_transformers` returned with `config`.

    Raises KeyError if a tensor is missing.
    """
    convert = {"lfm2": from_lfm2, "gpt2": from_gpt2}[family(config)]
    return convert(config, tensors)


def to_lfm2(config, ours):
    embedding = ours["embedding.weight"].float()
    if config.embd_norm:
        embedding = F.rms_norm(
            embedding, (config.n_embd,), ours["norm_embd.weight"].float(), eps=1e-6
        )
    theirs = {
        "model.embed_tokens.weight": embedding,
        "model.embedding_norm.weight": ours["norm_out.weight"],  # LFM2's name for the last norm
        "lm_head.weight": ours["head.weight"],
    }
    for layer in range(config.n_layer):
        block, there = f"blocks.{layer}.", f"model.layers.{layer}."
        for name, new in lfm2_names(config, layer).items():
            theirs[there + new] = ours[block + name]
        up = ours[block + "feed_forward.up.weight"]
        theirs[there + "feed_forward.w1.weight"] = up * GATE
        theirs[there + "feed_forward.w3.weight"] = up / GATE
        if not config.attends(layer):
            theirs[there + "conv.in_proj.weight"] = torch.cat([ours[block + name] for name in CONV])
    return replace(config, embd_norm=False), lfm2_fields(config), theirs


def from_lfm2(config, theirs):
    ours = {
        "embedding.weight": theirs["model.embed_tokens.weight"],
        "norm_out.weight": theirs["model.embedding_norm.weight"],
        "head.weight": theirs["lm_head.weight"],
    }
    for layer in range(config.n_layer):
        block, there = f"blocks.{layer}.", f"model.layers.{layer}."
        for name, new in lfm2_names(config, layer).items():
            ours[block + name] = theirs[there + new]
        gate, up = (theirs[there + f"feed_forward.{name}.weight"] for name in ("w1", "w3"))
        if gate.equal(up * OLD_GATE):
            ours[block + "feed_forward.down.weight"] *= OLD_GATE
        else:
            up = up * GATE
        ours[block + "feed_forward.up.weight"] = up
        if not config.attends(layer):
            gates = theirs[there + "conv.in_proj.weight"].chunk(3)
            ours |= {block + name: gate for name, gate in zip(CONV, gates, strict=True)}
    return ours


def lfm2_names(config, layer):
    """Return charlm's names of the tensors in a block that are only renamed, and LFM2's."""
    attends = config.attends(layer)
    names = {ours: new for ours, new in LFM2.items() if attends or not ours.startswith("mixer.")}
    names["mixer.proj.weight"] = LFM2_PROJ[attends]
    return names if attends else names | {"mixer.kernel": "conv.conv.weight"}


def lfm2_fields(config):
    layers = range(config.n_layer)
    return {
        "architectures": ["Lfm2ForCausalLM"],
        "model_type": "lfm2",
        "hidden_size": config.n_embd,
        "intermediate_size": 4 * config.n_embd,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_head,
        "max_position_embeddings": config.block_size,
        "norm_eps": 1e-6,
        "conv_L_cache": config.conv_size,
        "conv_bias": False,
        "block_auto_adjust_ff_dim": False,
        "layer_types": ["full_attention" if config.attends(i) else "conv" for i in layers],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }


def to_gpt2(config, ours):
    head, norm_bias = ours["head.weight"], ours["norm_out.bias"]
    theirs = {
        "transformer.wte.weight": ours["embedding.weight"],
        "transformer.wpe.weight": ours["position.weight"],
        "transformer.ln_f.weight": ours["norm_out.weight"],
        "transformer.ln_f.bias": norm_bias,
        "lm_head.weight": head,
    }
    if config.bias:
        theirs["transformer.ln_f.bias"] = without_head_bias(head, norm_bias, ours["head.bias"])
    for layer in range(config.n_layer):
        block, there = f"blocks.{layer}.", f"transformer.h.{layer}."
        for name, new in GPT2.items():
            for part in (".weight", ".bias"):
                theirs[there + new + part] = ours[block + name + part]
        for name, new in GPT2_LINEAR.items():
            weight = ours[block + name + ".weight"]
            theirs[there + new + ".weight"] = weight.T
            no_bias = torch.zeros(len(weight))
            theirs[there + new + ".bias"] = ours.get(block + name + ".bias", no_bias)
        qkv = torch.cat([ours[block + name] for name in QKV])
        theirs[there + "attn.c_attn.weight"] = qkv.T
        theirs[there + "attn.c_attn.bias"] = torch.zeros(len(qkv))
    return config, gpt2_fields(config), theirs


def without_head_bias(head, norm_bias, head_bias):
    """Return the last norm's bias that replaces both: head @ b = head @ norm_bias + head_bias.

    It exists if the vocabulary is not larger than the width of the residual stream. Raises
    ConvertError otherwise.
    """
    head, head_bias = head.double(), head_bias.double()
    moved = torch.linalg.lstsq(head, head_bias.unsqueeze(1), driver="gelsd").solution.squeeze(1)
    if (head @ moved - head_bias).abs().max() > 1e-5:
        raise ConvertError("its GPT-2 has no bias before the logits, and this one is needed")
    return (norm_bias.double() + moved).float()


def from_gpt2(config, theirs):
    ours = {
        "embedding.weight": theirs["transformer.wte.weight"],
        "position.weight": theirs["transformer.wpe.weight"],
        "norm_out.weight": theirs["transformer.ln_f.weight"],
        "norm_out.bias": theirs["transformer.ln_f.bias"],
        "head.weight": theirs["lm_head.weight"],
    }
    if config.bias:
        ours["head.bias"] = torch.zeros(config.vocab_size)
    for layer in range(config.n_layer):
        block, there = f"blocks.{layer}.", f"transformer.h.{layer}."
        for name, new in GPT2.items():
            for part in (".weight", ".bias"):
                ours[block + name + part] = theirs[there + new + part]
        for name, new in GPT2_LINEAR.items():
            ours[block + name + ".weight"] = theirs[there + new + ".weight"].T
            if config.bias:
                ours[block + name + ".bias"] = theirs[there + new + ".bias"]
        qkv = theirs[there + "attn.c_attn.weight"].T.chunk(3)
        ours |= {block + name: weight for name, weight in zip(QKV, qkv, strict=True)}
    return ours


def gpt2_fields(config):
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_positions": config.block_size,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "activation_function": config.activation,
        "resid_pdrop": config.dropout,
        "embd_pdrop": 0.0,
        "attn_pdrop": config.dropout,
        "layer_norm_epsilon": 1e-5,
    }
