"""A GPT as a network that transformers knows, with no code of ours: LFM2 or GPT-2, and back.

Today's network is LFM2 (Liquid AI 2025) but for two things, which fold away: the norm after the
embedding is a function of the character alone, so the table can hold its result; and ReLU squared
is a gated layer whose gate is so steep that it is open or shut. The lecture's is GPT-2 (Radford et
al. 2019) with a bias before the logits, which the last norm's bias can take over.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F

from charlm.errors import CharlmError

GATE = 2.0**12  # silu(GATE u) u / GATE is relu(u)^2 but for less than 1 / GATE^2; exact to undo
LFM2 = {  # our names in a block: theirs
    "norm_1.weight": "operator_norm.weight",
    "norm_2.weight": "ffn_norm.weight",
    "feed_forward.up.weight": "feed_forward.w3.weight",
    "feed_forward.down.weight": "feed_forward.w2.weight",
    "mixer.query.weight": "self_attn.q_proj.weight",
    "mixer.key.weight": "self_attn.k_proj.weight",
    "mixer.value.weight": "self_attn.v_proj.weight",
    "mixer.norm_q.weight": "self_attn.q_layernorm.weight",
    "mixer.norm_k.weight": "self_attn.k_layernorm.weight",
}
LFM2_PROJ = {True: "self_attn.out_proj.weight", False: "conv.out_proj.weight"}  # attends or not
CONV = ("mixer.gate_in.weight", "mixer.gate_out.weight", "mixer.value.weight")
QKV = ("mixer.query.weight", "mixer.key.weight", "mixer.value.weight")
GPT2 = {"norm_1": "ln_1", "norm_2": "ln_2"}
GPT2_LINEAR = {  # kept the other way round there, (in, out)
    "mixer.proj": "attn.c_proj",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
}


class ConvertError(CharlmError):
    """Why transformers cannot load a model."""


def family(config):
    """Which of transformers' networks a GPTConfig is: "lfm2", "gpt2", or None for neither."""
    today = (config.position, config.norm, config.activation) == ("rotary", "rmsnorm", "relu2")
    if today and config.qk_norm and not config.bias and config.attention_every <= config.n_layer:
        return "lfm2"
    lecture = (config.position, config.norm) == ("learned", "layernorm")
    extras = config.qk_norm or config.embd_norm or config.attention_every > 1
    fits = not config.bias or config.vocab_size <= config.n_embd  # see `without_head_bias`
    return "gpt2" if lecture and not extras and fits else None


def portable(kind, config, tensors):
    """What to write of a model so that as many as possible can load it; to_transformers if it can.

    Returns (config, fields, state dict) as that does; without fields, and all else as it was given,
    for a network that transformers does not know.
    """
    try:
        return to_transformers(kind, config, tensors)
    except ConvertError:
        return config, {}, tensors


def to_transformers(kind, config, tensors):
    """A GPT's config and state dict as (the GPTConfig of what is written, fields, state dict).

    `fields` are those of transformers' config.json. The written network computes the same logits;
    `from_transformers` gives its state dict. Raises ConvertError, saying why, if that cannot be.
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
    """The state dict of a GPT of this config from that of `to_transformers`; raises KeyError."""
    back = {"lfm2": from_lfm2, "gpt2": from_gpt2}[family(config)]
    return back(config, tensors)


def to_lfm2(config, ours):
    embedding = ours["embedding.weight"].float()
    if config.embd_norm:
        embedding = F.rms_norm(
            embedding, (config.n_embd,), ours["norm_embd.weight"].float(), eps=1e-6
        )
    theirs = {
        "model.embed_tokens.weight": embedding,
        "model.embedding_norm.weight": ours["norm_out.weight"],  # the last one, for all its name
        "lm_head.weight": ours["head.weight"],
    }
    for layer in range(config.n_layer):
        block, there = f"blocks.{layer}.", f"model.layers.{layer}."
        for name, new in lfm2_names(config, layer).items():
            theirs[there + new] = ours[block + name]
        up, down = ours[block + "feed_forward.up.weight"], there + "feed_forward.w2.weight"
        theirs[there + "feed_forward.w1.weight"] = up * GATE
        theirs[down] = theirs[down] / GATE
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
        ours[block + "feed_forward.down.weight"] = ours[block + "feed_forward.down.weight"] * GATE
        if not config.attends(layer):
            gates = theirs[there + "conv.in_proj.weight"].chunk(3)
            ours |= {block + name: gate for name, gate in zip(CONV, gates, strict=True)}
    return ours


def lfm2_names(config, layer):
    """Our names of what a block has, and theirs, but for what is not merely renamed."""
    does = config.attends(layer)
    names = {ours: new for ours, new in LFM2.items() if does or not ours.startswith("mixer.")}
    names["mixer.proj.weight"] = LFM2_PROJ[does]
    return names if does else names | {"mixer.kernel": "conv.conv.weight"}


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
            nothing = torch.zeros(len(weight))
            theirs[there + new + ".bias"] = ours.get(block + name + ".bias", nothing)
        qkv = torch.cat([ours[block + name] for name in QKV])
        theirs[there + "attn.c_attn.weight"] = qkv.T
        theirs[there + "attn.c_attn.bias"] = torch.zeros(len(qkv))
    return config, gpt2_fields(config), theirs


def without_head_bias(head, norm_bias, head_bias):
    """The last norm's bias that does what both did: head @ it = head @ norm_bias + head_bias.

    There is one as long as the vocabulary is not larger than the stream is wide.
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
