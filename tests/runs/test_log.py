import json
import os
import threading

import pytest
from waiting import join

from charlm.runs.log import (
    LOG_FILE,
    RunLog,
    RunLogError,
    is_log_locked,
    read_events,
    read_last_events,
)
from charlm.training.events import End, Eval, Sample, Step


def step(n):
    return Step(step=n, time=n / 10, loss=1.5, lr=0.1, chars_per_second=9.0)


def test_events_are_read_as_they_were_written(tmp_path):
    with RunLog(tmp_path) as log:
        log.append(step(1))
        log.append(Sample(step=1, time=0.2, text="Ay,\n“née” \u2028 so"))
    events, cursor = read_events(tmp_path)
    assert [e["event"] for e in events] == ["step", "sample"]
    assert events[0] == {
        "event": "step",
        "step": 1,
        "time": 0.1,
        "loss": 1.5,
        "lr": 0.1,
        "chars_per_second": 9.0,
    }
    assert events[1]["text"] == "Ay,\n“née” \u2028 so"
    assert (tmp_path / LOG_FILE).stat().st_size == log.size
    assert read_events(tmp_path, cursor) == ([], cursor)
    assert len((tmp_path / LOG_FILE).read_bytes().splitlines()) == 2


def test_reading_continues_at_the_cursor(tmp_path):
    with RunLog(tmp_path) as log:
        log.append(step(1))
        events, cursor = read_events(tmp_path)
        assert len(events) == 1
        assert read_events(tmp_path, cursor) == ([], cursor)
        log.append(step(2))
        log.append(step(3))
        assert [e["step"] for e in read_events(tmp_path, cursor)[0]] == [2, 3]


def test_an_incomplete_line_is_read_once_it_is_complete(tmp_path):
    path = tmp_path / LOG_FILE
    path.write_bytes(b'{"event": "save", "step": 1, "time": 0}\n{"event": "sa')
    events, cursor = read_events(tmp_path)
    assert [e["step"] for e in events] == [1]
    with path.open("ab") as file:
        file.write(b've", "step": 2, "time": 0}\n')
    assert [e["step"] for e in read_events(tmp_path, cursor)[0]] == [2]


def test_a_log_is_truncated_to_a_size(tmp_path):
    with RunLog(tmp_path) as log:
        log.append(step(1))
        size = log.size
        log.append(step(2))
    with (tmp_path / LOG_FILE).open("ab") as file:
        file.write(b'{"torn')
    with RunLog(tmp_path) as log:
        log.truncate(size)
        assert [e["step"] for e in read_events(tmp_path)[0]] == [1]


@pytest.mark.parametrize("later", [[3], [200_000], [3, 4, 5], []])
def test_reading_restarts_after_the_log_was_truncated(tmp_path, later):
    with RunLog(tmp_path) as log:
        log.append(step(1))
        size = log.size
        log.append(step(2))
        stale = read_events(tmp_path)[1]
        log.truncate(size)
        for n in later:  # the first one is as long as the event it replaces
            log.append(step(n))
    events, cursor = read_events(tmp_path)
    assert [e["step"] for e in events] == [1, *later]
    assert read_events(tmp_path, stale) == (events, cursor)


def test_a_long_log_is_read_in_parts(tmp_path):
    with RunLog(tmp_path) as log:
        for n in range(1000):
            log.append(step(n))
        log.append(Sample(step=1000, time=1.0, text="x" * 5000))
    steps, cursor, parts = [], 0, 0
    while True:
        events, cursor = read_events(tmp_path, cursor, max_bytes=4096)
        if not events:
            break
        steps += [e["step"] for e in events]
        parts += 1
    assert steps == list(range(1001))
    assert parts > 10


def test_the_last_events_are_read(tmp_path):
    with RunLog(tmp_path) as log:
        assert read_last_events(tmp_path) == []
        log.append(step(1))
        assert [e["step"] for e in read_last_events(tmp_path, 10)] == [1]
        for n in range(2, 1000):
            log.append(step(n))
        steps = [e["step"] for e in read_last_events(tmp_path, 2000)]
        assert steps == list(range(steps[0], 1000))
        assert 5 < len(steps) < 50
        log.append(Sample(step=1000, time=1.0, text="x" * 5000))
        assert read_last_events(tmp_path, 2000)[-1]["step"] == 1000
    with (tmp_path / LOG_FILE).open("ab") as file:
        file.write(b'{"torn')
    assert read_last_events(tmp_path, 2000)[-1]["step"] == 1000


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_an_open_log_is_locked(tmp_path):
    assert not is_log_locked(tmp_path)
    with RunLog(tmp_path):
        assert is_log_locked(tmp_path)
    assert not is_log_locked(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_checking_the_lock_does_not_prevent_writing(tmp_path):
    (tmp_path / LOG_FILE).touch()
    stop = threading.Event()

    def check():
        while not stop.is_set():
            is_log_locked(tmp_path)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            with RunLog(tmp_path) as log:
                log.append(step(1))
    finally:
        stop.set()
        join(*threads)


def test_a_log_cannot_be_truncated_to_more_than_its_size(tmp_path):
    (tmp_path / LOG_FILE).write_bytes(b"short\n")
    with (
        RunLog(tmp_path) as log,
        pytest.raises(RunLogError, match=r"run\.jsonl is shorter than when the run was saved"),
    ):
        log.truncate(100)


@pytest.mark.parametrize(
    "line",
    [
        *[b"short", b"[]", b"3", b'{"event": "step"}', b"\xff", b"[" * 9999],
        b'{"event": "step", "step": 1, "time": 1, "loss": 1, "lr": 1}',
        b'{"event": "step", "step": "1", "time": 1, "loss": 1, "lr": 1, "chars_per_second": 1}',
        b'{"event": "eval", "step": 1, "time": 1, "train_loss": 1, "val_loss": NaN}',
        b'{"event": "end", "step": 1, "time": 1}',
    ],
)
def test_a_damaged_line_is_quoted(tmp_path, line):
    (tmp_path / LOG_FILE).write_bytes(line + b"\n")
    with pytest.raises(RunLogError, match=r"run\.jsonl is damaged: .* is no event"):
        read_events(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_one_writer_at_a_time(tmp_path):
    with RunLog(tmp_path), pytest.raises(RunLogError, match="another process"), RunLog(tmp_path):
        pass


def test_nan_is_rejected(tmp_path):
    with RunLog(tmp_path) as log, pytest.raises(ValueError):
        log.append(Eval(step=0, time=0.0, train_loss=float("nan"), val_loss=1.0, val_estimate=1.0))
    assert (tmp_path / LOG_FILE).read_bytes() == b""


def test_a_full_disk_leaves_no_torn_line(tmp_path, monkeypatch):
    write = os.write
    with RunLog(tmp_path) as log:
        log.append(step(1))
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda file, raw: write(file, raw[:20]))
            with pytest.raises(OSError, match="No space left"):
                log.append(step(2))
        assert [e["step"] for e in read_events(tmp_path)[0]] == [1]
        log.append(step(3))
    assert [e["step"] for e in read_events(tmp_path)[0]] == [1, 3]
    assert (tmp_path / LOG_FILE).stat().st_size == log.size


def test_lines_are_plain_json_objects(tmp_path):
    with RunLog(tmp_path) as log:
        log.append(End(step=3, time=1.0, reason="stopped"))
    line = (tmp_path / LOG_FILE).read_text()
    assert json.loads(line) == {
        "event": "end",
        "step": 3,
        "time": 1.0,
        "reason": "stopped",
        "message": "",
    }
