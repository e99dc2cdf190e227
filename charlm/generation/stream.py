"""A stream: one text being generated, and the part of it that the model sees."""

from dataclasses import dataclass

from charlm.config import SampleConfig


@dataclass(eq=False)
class Stream:
    """The ids of a text, which grow at each step until it is complete."""

    ids: list
    config: SampleConfig
    client: object = None  # the network address that requested it
    session: object = None  # of the client; it may have many
    error: Exception | None = None  # that ended it
    stopped: bool = False  # set by the client to end it at the next step; see Engine.stop
    off: tuple = ()  # the parts of the model that are switched off, see models.parts
    timed_out: bool = False  # it was stopped because it took too long
    logits: list | None = None  # if a list: the logits (V,) behind each character are appended
    context_start: int = 0  # index of the first id that the model sees
    slice_chars: int = 0  # characters generated in this time slice
    start_time: float | None = None  # of its first time slice, on time.monotonic's clock
    number: int = 0  # by which an EngineProcess and its EngineServer name it
    queue_position: int = 0  # as the EngineServer reported it

    def __post_init__(self):
        self.ids = list(self.ids)
        self.final_length = len(self.ids) + self.config.max_new_chars

    @property
    def complete(self):
        """Whether all characters have been generated."""
        return len(self.ids) >= self.final_length

    @property
    def context_length(self):
        """The number of characters that the model sees, once the stream has run."""
        return len(self.ids) - self.context_start

    @property
    def ended(self):
        """Whether no more characters will come."""
        return self.complete or self.stopped or self.error is not None


def context_start(length, block_size):
    """Return where the context begins in a text of `length` characters; it ends with the text.

    The context grows to block_size characters. Then its older three quarters are dropped and the
    rest is prefilled again. It is a function of the length alone, so a text depends on the model,
    the prompt and the SampleConfig, and not on the streams beside it.
    """
    if length <= block_size:
        return 0
    # many at a time: prefilling is expensive, and characters far back matter little
    dropped = max(1, block_size * 3 // 4)
    return -(-(length - block_size) // dropped) * dropped
