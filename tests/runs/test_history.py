import dataclasses

from charlm.runs.history import History
from charlm.runs.log import LOG_FILE, RunLog
from charlm.training.events import Eval, Sample


def test_the_history_of_a_finished_run(trained):
    history = History(trained / "small-gpt").update()
    assert [step for step, _ in history.losses] == [10, 20, 30]
    assert [step for step, _, _ in history.evals] == [0, 10, 20, 30]
    assert [step for step, _ in history.samples] == [0, 10, 20, 30]
    assert history.references.keys() == {"uniform", "unigram", "bigram"}
    assert history.milestones()[0] == ("uniform", 10)
    before = dataclasses.replace(history, lock=None)
    assert dataclasses.replace(history.update(), lock=None) == before


def test_it_is_read_again_after_the_log_was_truncated(trained_copy):
    directory = trained_copy / "small-gpt"
    history = History(directory).update()
    lines = (directory / LOG_FILE).read_bytes().splitlines(keepends=True)
    with RunLog(directory) as log:
        log.truncate(sum(map(len, lines[:-6])))
        log.append(Eval(21, 9.0, 1.0, 2.0, 2.0))
        log.append(Sample(21, 9.0, "anew"))
    assert history.update().samples[-1] == (21, "anew")
    assert [step for step, _, _ in history.evals] == [0, 10, 20, 21]
    fresh = History(directory).update()
    assert (fresh.losses, fresh.evals, fresh.samples) == (
        history.losses,
        history.evals,
        history.samples,
    )
