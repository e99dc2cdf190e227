"""Self-play that fills a draft's table before the first visitor needs it."""

from charlm.config import SampleConfig
from charlm.generation.batch import Batch
from charlm.generation.stream import Stream

TEXTS, CHARS = 512, 200  # texts to generate, and characters of each
STREAMS = 64  # texts generated together


def warm_up_draft(model, draft):
    """Generate texts that update the draft and are discarded; yield after each step."""
    batch = Batch(model, STREAMS, draft, max_draft_updates=STREAMS)
    for seed in range(TEXTS):
        batch.add(Stream([seed % model.config.vocab_size], SampleConfig(CHARS, seed=seed)))
    while not batch.is_empty:
        batch.step()
        yield
