"""from_pretrained, save_pretrained and push_to_hub for both models, as on other Hub models."""

import json
from pathlib import Path

import safetensors.torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.constants import CONFIG_NAME as CONFIG
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE as WEIGHTS

from charlm.errors import CharlmError
from charlm.models.transformers_format import convert_if_possible, from_transformers


class Pretrained(PyTorchModelHubMixin, library_name="charlm", license="mit"):
    """A model that can be saved to a directory or the Hub and loaded from either.

    `save_pretrained(directory)` and `push_to_hub("user/repo")` write the weights and the config, in
    transformers' format if it has such a network. `from_pretrained` reads these and any model
    directory. It is strict: it raises if the weights do not fit the config.
    """

    def _save_pretrained(self, directory):
        config, fields, tensors = convert_if_possible(self.kind, self.config, self.state_dict())
        parts = {"kind": self.kind, "model": vars(config)} | fields
        (directory / CONFIG).write_text(json.dumps(parts, indent=2) + "\n", encoding="utf-8")
        # not save_file, which takes UTF-8 paths only
        (directory / WEIGHTS).write_bytes(safetensors.torch.save(tensors, {"format": "pt"}))

    @classmethod
    def _from_pretrained(cls, *, model_id, config=None, map_location="cpu", **where):
        if config is None or config.get("kind") != cls.kind:
            raise CharlmError(f"{model_id} has no {CONFIG} of a charlm {cls.kind}")
        directory = Path(model_id)
        if directory.is_dir():
            path = directory / WEIGHTS
        else:
            path = Path(hf_hub_download(model_id, WEIGHTS, **where))
        model = cls(cls.config_class(**config["model"]))
        tensors = safetensors.torch.load(path.read_bytes())
        tensors = {name: t.float() for name, t in tensors.items()}
        if "model_type" in config:
            tensors = from_transformers(model.config, tensors)
        model.load_state_dict(tensors, strict=True)
        return model.to(map_location).eval()
