import json
import os
import threading

import pytest

from charlm.runs.log import FILE, RunLog, RunLogError, is_locked, read, tail
from charlm.training.events import End, Eval, Sample, Step


def step(n):
    return Step(step=n, time=n / 10, loss=1.5, lr=0.1, chars_per_second=9.0)


def test_events_come_back_as_they_went(tmp_path):
    with RunLog(tmp_path) as log:
        log.append(step(1))
        log.append(Sample(step=1, time=0.2, text="Ay,\n“née” \u2028 so"))
    events, cursor = read(tmp_path)
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
    assert (tmp_path / FILE).stat().st_size == log.size
    assert read(tmp_path, cursor) == ([], cursor)
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 2


def test_a_follower_goes_on_from_its_cursor(tmp_path):
    with RunLog(tmp_path) as log:
        log.append(step(1))
        events, cursor = read(tmp_path)
        assert len(events) == 1
        assert read(tmp_path, cursor) == ([], cursor)
        log.append(step(2))
        log.append(step(3))
        assert [e["step"] for e in read(tmp_path, cursor)[0]] == [2, 3]


def test_a_line_being_written_is_left_for_later(tmp_path):
    path = tmp_path / FILE
    path.write_bytes(b'{"event": "save", "step": 1, "time": 0}\n{"event": "sa')
    events, cursor = read(tmp_path)
    assert [e["step"] for e in events] == [1]
    with path.open("ab") as file:
        file.write(b've", "step": 2, "time": 0}\n')
    assert [e["step"] for e in read(tmp_path, cursor)[0]] == [2]


def test_a_log_is_cut_back_to_where_the_run_was_saved(tmp_path):
    with RunLog(tmp_path) as log:
        log.append(step(1))
        kept = log.size
        log.append(step(2))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"torn')
    with RunLog(tmp_path) as log:
        log.cut_back(kept)
        assert [e["step"] for e in read(tmp_path)[0]] == [1]


@pytest.mark.parametrize("later", [[3], [200_000], [3, 4, 5], []])
def test_a_follower_notices_that_the_log_was_cut_back_and_starts_over(tmp_path, later):
    with RunLog(tmp_path) as log:
        log.append(step(1))
        kept = log.size
        log.append(step(2))
        stale = read(tmp_path)[1]
        log.cut_back(kept)
        for n in later:  # the first is as long as what was cut off
            log.append(step(n))
    whole, cursor = read(tmp_path)
    assert [e["step"] for e in whole] == [1, *later]
    assert read(tmp_path, stale) == (whole, cursor)


def test_a_long_log_is_read_in_parts(tmp_path):
    with RunLog(tmp_path) as log:
        for n in range(1000):
            log.append(step(n))
        log.append(Sample(step=1000, time=1.0, text="x" * 5000))
    seen, cursor, parts = [], 0, 0
    while True:
        events, cursor = read(tmp_path, cursor, most=4096)
        if not events:
            break
        seen += [e["step"] for e in events]
        parts += 1
    assert seen == list(range(1001))
    assert parts > 10


def test_the_tail_is_what_came_last(tmp_path):
    with RunLog(tmp_path) as log:
        assert tail(tmp_path) == []
        log.append(step(1))
        assert [e["step"] for e in tail(tmp_path, 10)] == [1]
        for n in range(2, 1000):
            log.append(step(n))
        steps = [e["step"] for e in tail(tmp_path, 2000)]
        assert steps == list(range(steps[0], 1000))
        assert 5 < len(steps) < 50
        log.append(Sample(step=1000, time=1.0, text="x" * 5000))
        assert tail(tmp_path, 2000)[-1]["step"] == 1000
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"torn')
    assert tail(tmp_path, 2000)[-1]["step"] == 1000


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_it_can_be_told_whether_somebody_writes(tmp_path):
    assert not is_locked(tmp_path)
    with RunLog(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_those_who_look_keep_nobody_from_writing(tmp_path):
    (tmp_path / FILE).touch()
    stop = threading.Event()

    def look():
        while not stop.is_set():
            is_locked(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(200):
            with RunLog(tmp_path) as log:
                log.append(step(1))
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_a_log_that_lost_its_end_is_not_resumed(tmp_path):
    (tmp_path / FILE).write_bytes(b"short\n")
    with (
        RunLog(tmp_path) as log,
        pytest.raises(RunLogError, match=r"run\.jsonl is shorter than when the run was saved"),
    ):
        log.cut_back(100)


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
def test_a_line_that_is_no_event_is_named(tmp_path, line):
    (tmp_path / FILE).write_bytes(line + b"\n")
    with pytest.raises(RunLogError, match=r"run\.jsonl is damaged: .* is no event"):
        read(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_one_writer_at_a_time(tmp_path):
    with RunLog(tmp_path), pytest.raises(RunLogError, match="another process"), RunLog(tmp_path):
        pass


def test_a_number_that_json_lacks_is_refused(tmp_path):
    with RunLog(tmp_path) as log, pytest.raises(ValueError):
        log.append(Eval(step=0, time=0.0, train_loss=float("nan"), val_loss=1.0, val_estimate=1.0))
    assert (tmp_path / FILE).read_bytes() == b""


def test_a_disk_that_takes_half_a_line_leaves_no_torn_one(tmp_path, monkeypatch):
    write = os.write
    with RunLog(tmp_path) as log:
        log.append(step(1))
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda file, raw: write(file, raw[:20]))
            with pytest.raises(OSError, match="No space left"):
                log.append(step(2))
        assert [e["step"] for e in read(tmp_path)[0]] == [1]
        log.append(step(3))
    assert [e["step"] for e in read(tmp_path)[0]] == [1, 3]
    assert (tmp_path / FILE).stat().st_size == log.size


def test_lines_are_plain_json_objects(tmp_path):
    with RunLog(tmp_path) as log:
        log.append(End(step=3, time=1.0, reason="stopped"))
    line = (tmp_path / FILE).read_text()
    assert json.loads(line) == {
        "event": "end",
        "step": 3,
        "time": 1.0,
        "reason": "stopped",
        "message": "",
    }
