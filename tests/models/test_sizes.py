"""Sizes computed from a config equal those of the model that is built from it."""

import itertools
import json

import pytest
from small_models import describe

from charlm.config import GPTConfig
from charlm.models.checkpoint import MODELS
from charlm.models.sizes import (
    check_shapes,
    fits_size,
    parameter_count,
    read_shapes,
    tensor_shapes,
)
from charlm.models.transformers_format import convert_if_possible

SWITCHES = {
    "position": ("learned", "rotary"),
    "norm": ("layernorm", "rmsnorm"),
    "qk_norm": (False, True),
    "bias": (False, True),
    "attention_every": (1, 2, 9),
    "embd_norm": (False, True),
    "out_norm": (False, True),
}
SHAPE = {"vocab_size": 7, "block_size": 8, "n_layer": 5, "n_head": 2, "n_embd": 8, "conv_size": 3}


@pytest.mark.parametrize("norm", SWITCHES["norm"])
def test_the_parameters_are_counted_exactly(norm):
    for values in itertools.product(*(SWITCHES | {"norm": (norm,)}).values()):
        config = GPTConfig(**SHAPE, **dict(zip(SWITCHES, values, strict=True)))
        model = MODELS["gpt"](config)
        assert parameter_count("gpt", config) == sum(p.numel() for p in model.parameters())
        shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}
        assert tensor_shapes(MODELS["gpt"], config) == shapes


@pytest.mark.parametrize("name", ["bigram", "lecture", "today"])
def test_the_shapes_of_saved_weights_are_known(name):
    description = describe(name, 13)
    model = description.build()
    kind, config = description.kind, description.model
    assert parameter_count(kind, config) == sum(p.numel() for p in model.parameters())
    saved, fields, tensors = convert_if_possible(kind, config, model.state_dict())
    shapes = tensor_shapes(MODELS[kind], saved, bool(fields))
    assert shapes == {name: tuple(t.shape) for name, t in tensors.items()}


def test_a_size_fits_if_it_leaves_a_header():
    shapes = {"a": (1000, 1000)}
    assert fits_size(shapes, 4_000_100)
    assert fits_size(shapes, 2_000_100)
    assert not fits_size(shapes, 1_000_100)
    assert not fits_size(shapes, 20_000_000)


def test_a_shape_of_many_dimensions_is_refused_before_it_is_multiplied(tmp_path):
    tensor = {"dtype": "F32", "shape": [9] * 10**6, "data_offsets": [0, 4]}
    header = json.dumps({"a": tensor}, separators=(",", ":")).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ValueError, match="more than 8 dimensions"):
        read_shapes(path)


def test_a_difference_is_named():
    with pytest.raises(ValueError, match=r"it has a \[1\], not a \[2\]"):
        check_shapes({"a": (1,)}, {"a": (2,)})
    with pytest.raises(ValueError, match=r"it has no b \[2\]"):
        check_shapes({}, {"b": (2,)})
    with pytest.raises(ValueError, match=r"it has c .*, not one without it"):
        check_shapes({"c": (1,)}, {})
