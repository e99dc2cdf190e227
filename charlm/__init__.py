"""charlm: tiny language models that generate text one character at a time.

model, tokenizer = charlm.load("checkpoints/shakespeare")
print(charlm.generate(model, tokenizer, "ROMEO:"))
"""

from importlib import import_module

from charlm.rounding import use_reproducible_rounding

# the only side effect of importing charlm; it must precede the import of torch
use_reproducible_rounding()

MODULES = {
    "GPT": "charlm.models.gpt",
    "BigramLM": "charlm.models.bigram",
    "CharTokenizer": "charlm.data.tokenizer",
    "generate": "charlm.api",
    "load": "charlm.hub.source",
    "stream": "charlm.api",
}
__all__ = list(MODULES)


def __getattr__(name):
    """Import a public name when it is first used, so that `import charlm` does not load torch."""
    if name not in MODULES:
        raise AttributeError(f"module 'charlm' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(MODULES[name]), name)
    return value


def __dir__():
    return sorted({*globals(), *MODULES})
