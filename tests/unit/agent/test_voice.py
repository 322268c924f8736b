"""What programs read on standard error: one event a line."""

import io
import json
from datetime import UTC, datetime
from typing import Any

from freezer_agent.voice import EventVoice, Voice

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Seconds:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_run_in_events() -> None:
    stream, seconds = io.StringIO(), Seconds()
    voice = EventVoice(stream, seconds, lambda: NOW)
    voice.start("restore", "20.0.0")
    voice.progress.follow(lambda: 3)
    voice.progress.expect(400)
    for _ in range(4):
        seconds.now += 0.5
        voice.progress.add(50)
    voice.rest()
    voice.warn("a\nb")
    voice.fail("no")
    voice.finish(1)
    found = events(stream)
    assert [one["event"] for one in found] == [
        *("started", "progress", "progress", "progress", "warning", "error", "finished"),
    ]
    assert {one["time"] for one in found} == {"2026-01-31T12:00:00+00:00"}
    assert found[0]["action"] == "restore"
    assert found[2] == {
        "event": "progress",
        "time": "2026-01-31T12:00:00+00:00",
        "bytes": 200,
        "expected_bytes": 400,
        "files": 3,
        "seconds": 2.0,
        "bytes_per_second": 100,
        "seconds_left": 2,
    }
    assert found[4]["text"] == "a\nb"
    assert (found[-1]["exit_code"], found[-1]["seconds"]) == (1, 2.0)


def test_progress_is_told_about_once_a_second() -> None:
    stream, seconds = io.StringIO(), Seconds()
    voice = EventVoice(stream, seconds, lambda: NOW)
    for _ in range(1000):
        seconds.now += 0.01
        voice.progress.add(1)
    assert 8 <= len(events(stream)) <= 10


def test_without_bytes_there_is_no_progress() -> None:
    stream = io.StringIO()
    EventVoice(stream, Seconds(), lambda: NOW).rest()
    assert stream.getvalue() == ""


def test_what_is_not_known_is_null() -> None:
    stream, seconds = io.StringIO(), Seconds()
    voice = EventVoice(stream, seconds, lambda: NOW)
    seconds.now += 2
    voice.progress.add(1)
    (one,) = events(stream)
    assert (one["expected_bytes"], one["files"], one["seconds_left"]) == (None, None, None)


def test_people_read_sentences() -> None:
    stream = io.StringIO()
    voice = Voice(stream, Seconds())
    voice.start("backup", "1")
    voice.warn("look")
    voice.fail("no")
    voice.finish(1)
    voice.rest()
    assert stream.getvalue() == "warning: look\nCritical Error: no\n"
    assert voice.progress is None


def test_quiet_says_nothing_and_so_does_a_closed_stream() -> None:
    stream = io.StringIO()
    Voice(stream, Seconds(), quiet=True).fail("no")
    assert stream.getvalue() == ""
    Voice(None, Seconds()).fail("no")
