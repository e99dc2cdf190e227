"""The text that the teachers of a run write, made once and kept with the run."""

from charlm.config import SampleConfig
from charlm.files import write_atomically
from charlm.generation.batch import Batch
from charlm.generation.stream import Stream
from charlm.rng import fold_in
from charlm.training.events import Writing

FILE = "written.txt"  # in the run directory; not pushed
TEXT_CHARS = 2000  # of one text
STREAMS = 64  # texts that are written side by side
STEPS_PER_UPDATE = 20


def prepare_teachers(run):
    """Let the teachers of a Run write their text, unless it is there, and measure their loss.

    Yields a Writing event now and then. Ends early if the run is asked to stop. Raises OSError.
    """
    trainer, teachers = run.trainer, run.trainer.teachers
    if teachers is None:
        return
    path, tokenizer = run.directory / FILE, run.setup.tokenizer
    if not (text := read_written(path, teachers.config)):
        parts = []
        for done in write(teachers, tokenizer, parts):
            if trainer.stop_requested:
                return
            total = teachers.config.written_chars
            yield Writing(trainer.step, round(trainer.elapsed, 3), min(done, total), total)
        text = "".join(parts)[: teachers.config.written_chars]
        write_atomically(path, text.encode())
    teachers.written_ids = tokenizer.encode_corpus(text)
    logged = (run.logged_start or {}).get("baselines", {}).get("teachers")
    loss = logged or teachers.loss(trainer.val_ids, trainer.model.config.block_size)
    teachers.val_loss = round(loss, 6)


def read_written(path, config):
    """Return the text in a file if it is whole, or ""."""
    try:
        text = path.read_bytes().decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return text if len(text) == config.written_chars else ""


def write(teachers, tokenizer, parts):
    """Append the teachers' texts to a list; yield the number of characters written so far.

    They take turns: text i is by teacher i mod n, and a function of (written_seed, i).
    """
    config, n = teachers.config, len(teachers.models)
    count = -(-config.written_chars // TEXT_CHARS)
    start = tokenizer.encode(tokenizer.start_char)
    texts, earlier = {}, 0
    for first, model in enumerate(teachers.models):
        batch = Batch(model, STREAMS)
        for i in range(first, count, n):
            seed = fold_in(config.written_seed, i)
            settings = SampleConfig(TEXT_CHARS - 1, config.written_temperature, seed=seed)
            texts[i] = Stream(start, settings)
            batch.add(texts[i])
        while not batch.is_empty:
            for _ in range(STEPS_PER_UPDATE):
                batch.step()
            yield earlier + sum(len(texts[i].ids) for i in range(first, count, n))
        earlier += TEXT_CHARS * len(range(first, count, n))
    parts += [tokenizer.decode(texts[i].ids) for i in range(count)]
