import json
import os
from pathlib import Path

import pytest

from charlm.runlog import FILE, RunLog, RunLogError, read
from charlm.training import End, Eval, Sample, Step


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
    assert cursor == (tmp_path / FILE).stat().st_size == log.size
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
    path.write_bytes(b'{"event": "step", "step": 1}\n{"event": "st')
    events, cursor = read(tmp_path)
    assert [e["step"] for e in events] == [1]
    with path.open("ab") as file:
        file.write(b'ep", "step": 2}\n')
    assert [e["step"] for e in read(tmp_path, cursor)[0]] == [2]


def test_reopening_drops_what_came_after_the_save(tmp_path):
    with RunLog(tmp_path) as log:
        log.append(step(1))
        kept = log.size
        log.append(step(2))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"torn')
    stale = (tmp_path / FILE).stat().st_size
    with RunLog(tmp_path, keep=kept) as log:
        assert [e["step"] for e in read(tmp_path)[0]] == [1]
        assert read(tmp_path, stale)[0] == read(tmp_path)[0]  # the follower starts over
        log.append(step(2))
    assert [e["step"] for e in read(tmp_path)[0]] == [1, 2]


def test_a_log_that_lost_its_end_is_not_resumed(tmp_path):
    (tmp_path / FILE).write_bytes(b"short\n")
    with pytest.raises(RunLogError, match=r"run\.jsonl is shorter than when the run was saved"):
        RunLog(tmp_path, keep=100)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks")
def test_one_writer_at_a_time(tmp_path):
    with RunLog(tmp_path), pytest.raises(RunLogError, match="another process"), RunLog(tmp_path):
        pass


def test_a_number_that_json_lacks_is_refused(tmp_path):
    with RunLog(tmp_path) as log, pytest.raises(ValueError):
        log.append(Eval(step=0, time=0.0, train_loss=float("nan"), val_loss=1.0))
    assert (tmp_path / FILE).read_bytes() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_and_not_a_torn_line(tmp_path):
    log = RunLog(tmp_path)
    log._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        log.append(End(step=1, time=0.0, reason="finished"))
    os.close(log._file)
    assert log.size == 0


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
