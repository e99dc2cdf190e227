"""Today's network is one that transformers knows: LFM2, with no code of ours."""

import pytest
import torch
from conftest import make_model

V = 11
GATE = 2.0**12  # silu(GATE u) u / GATE is relu(u) ** 2 but for less than 1 / GATE ** 2
ATTENTION = {
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "proj": "out_proj",
    "norm_q": "q_layernorm",
    "norm_k": "k_layernorm",
}


@pytest.mark.parametrize("every", [1, 3, 4])
def test_transformers_computes_the_same_logits(every):
    gpt = make_model("today", V, n_layer=4, attention_every=every, conv_size=3)
    ids = torch.randint(V, (3, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = as_lfm2(gpt)(ids).logits
        torch.testing.assert_close(logits, gpt(ids), rtol=1e-4, atol=1e-4)


def as_lfm2(gpt):
    """The GPT as a transformers Lfm2ForCausalLM."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    config = gpt.config
    attends = [hasattr(block.mixer, "query") for block in gpt.blocks]
    lfm2 = Lfm2ForCausalLM(
        Lfm2Config(
            vocab_size=config.vocab_size,
            hidden_size=config.n_embd,
            intermediate_size=4 * config.n_embd,
            num_hidden_layers=config.n_layer,
            num_attention_heads=config.n_head,
            num_key_value_heads=config.n_head,
            max_position_embeddings=config.block_size,
            norm_eps=1e-6,
            conv_L_cache=config.conv_size,
            block_auto_adjust_ff_dim=False,
            tie_word_embeddings=False,
            layer_types=["full_attention" if does else "conv" for does in attends],
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    )
    weights = {
        "model.embed_tokens.weight": gpt.norm_embd(gpt.embedding.weight),  # the norm, folded in
        "model.embedding_norm.weight": gpt.norm_out.weight,
        "lm_head.weight": gpt.head.weight,
    }
    for layer, block in enumerate(gpt.blocks):
        for name, tensor in lfm2_block(block).items():
            weights[f"model.layers.{layer}.{name}"] = tensor
    lfm2.load_state_dict(weights, strict=True)
    return lfm2.eval()


def lfm2_block(block):
    mixer, up, down = block.mixer, block.feed_forward.up.weight, block.feed_forward.down.weight
    weights = {
        "operator_norm.weight": block.norm_1.weight,
        "ffn_norm.weight": block.norm_2.weight,
        "feed_forward.w1.weight": up * GATE,
        "feed_forward.w3.weight": up,
        "feed_forward.w2.weight": down / GATE,
    }
    if hasattr(mixer, "query"):
        names = {f"self_attn.{new}.weight": getattr(mixer, old) for old, new in ATTENTION.items()}
        return weights | {name: layer.weight for name, layer in names.items()}
    gates = mixer.gate_in.weight, mixer.gate_out.weight, mixer.value.weight
    return weights | {
        "conv.in_proj.weight": torch.cat(gates),
        "conv.conv.weight": mixer.kernel,
        "conv.out_proj.weight": mixer.proj.weight,
    }
