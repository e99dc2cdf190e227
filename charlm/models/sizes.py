"""The sizes of a model, computed from its config alone: nothing is allocated.

A config may come from a stranger. Its sizes are compared with the limits and with the header of the
weights before the model is built.
"""

import json
import math
from dataclasses import replace

import torch

from charlm.files import parse_json, refuse_pointer
from charlm.models.transformers_format import family, to_gpt2, to_lfm2

BYTES_PER_NUMBER = {"F32": 4, "BF16": 2, "F16": 2, "F64": 8}
MAX_DIMENSIONS = 8  # of a tensor; their product takes time that grows with the square of the number
MAX_HEADER = 2**22  # bytes of a safetensors header; one of 1,024 blocks has 2 MB


def parameter_count(kind, config):
    """Return the number of parameters of a "bigram" or "gpt" with this config."""
    V = config.vocab_size
    if kind == "bigram":
        return V * V
    C, D = config.n_embd, config.n_embd // config.n_head
    per_norm = 2 if config.norm == "layernorm" else 1  # vectors: weight, and bias
    attending = config.n_layer // config.attention_every
    attention = 4 * C * C + config.bias * C + 2 * config.qk_norm * per_norm * D
    convolution = 4 * C * C + config.conv_size * C
    feed_forward = 8 * C * C + config.bias * 5 * C
    blocks = attending * attention + (config.n_layer - attending) * convolution
    blocks += config.n_layer * (feed_forward + 2 * per_norm * C)
    outer = 2 * V * C + config.bias * V + (config.embd_norm + config.out_norm) * per_norm * C
    return blocks + outer + (config.position == "learned") * config.block_size * C


def cache_bytes(kind, config):
    """Return the bytes that one stream of generated text keeps: float32 keys and values.

    A block that convolves keeps its latest conv_size characters instead.
    """
    if kind == "bigram":
        return 0
    attending = config.n_layer // config.attention_every
    keys_and_values = 2 * attending * config.block_size
    return 4 * config.n_embd * (keys_and_values + (config.n_layer - attending) * config.conv_size)


def tensor_shapes(model_class, config, converted=False):
    """Return the shape of each tensor in the weights file of a model, by name.

    `converted`: whether the file has the names that transformers expects. Raises ValueError if
    transformers has no network with this config.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        tensors = model_class(config).state_dict()
        if converted:
            network = family(config) if model_class.kind == "gpt" else None
            if network is None:
                raise ValueError("transformers has no network with these options")
            convert = {"lfm2": to_lfm2, "gpt2": to_gpt2}[network]
            # the bias before the logits moves into another tensor, whose shape stays
            tensors = convert(replace(config, bias=False), tensors)[2]
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def fits_size(shapes, size):
    """Return whether a safetensors file with tensors of these shapes can have `size` bytes."""
    count = sum(map(math.prod, shapes.values()))
    headers = (size - width * count - 8 for width in BYTES_PER_NUMBER.values())
    return any(2 <= header <= MAX_HEADER for header in headers)


def read_shapes(path):
    """Return the shape of each tensor in a safetensors file, by name.

    Only the header is read. Raises OSError, and ValueError, TypeError or KeyError unless it is one
    whose tensors fill the rest of the file.
    """
    with path.open("rb") as file:
        refuse_pointer(file.read(100))
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise ValueError("its header does not fit")
        header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    header.pop("__metadata__", None)
    found = {name: (tensor["dtype"], tuple(tensor["shape"])) for name, tensor in header.items()}
    if unknown := {str(dtype) for dtype, _ in found.values()} - BYTES_PER_NUMBER.keys():
        raise ValueError(f"{json.dumps(min(unknown))[:20]} is no type of weights")
    if any(len(shape) > MAX_DIMENSIONS for _, shape in found.values()):
        raise ValueError(f"its tensors have more than {MAX_DIMENSIONS} dimensions")
    expected = sum(BYTES_PER_NUMBER[dtype] * math.prod(shape) for dtype, shape in found.values())
    if size != 8 + length + expected:
        raise ValueError("its header does not fit its size")
    return {name: shape for name, (_, shape) in found.items()}


class MisfitError(ValueError):
    """Weights of another model than the config describes."""


def check_shapes(found, expected):
    """Raise MisfitError, naming the first difference, unless two dicts of shapes are the same."""
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            stated = "has no" if name not in found else f"has {describe(name, found)}, not"
            wanted = describe(name, expected) if name in expected else "one without it"
            raise MisfitError(f"it {stated} {wanted}")


def describe(name, shapes):
    return f"{name[:40]} {list(shapes[name][:4])}".replace("\n", " ")
