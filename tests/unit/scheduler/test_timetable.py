"""Jobs fire when they are due: real threads, real time where it is short, else a clock that is set."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from freezer_model.clock import Clock, utc_now
from freezer_model.errors import InvalidDocument
from freezer_model.schedule import Schedule, ScheduleKind
from freezer_scheduler.timetable import Timetable
from freezer_scheduler.triggers import Trigger, trigger_for

Make = Callable[..., Timetable]


class SetClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **length: float) -> None:
        self.now += timedelta(**length)


class Recorder:
    """A run that notes when it began and ended, and waits while `hold` is clear."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.hold = threading.Event()
        self.hold.set()
        self._lock = threading.Lock()

    def __call__(self, job_id: str) -> None:
        with self._lock:
            self.begun.append(job_id)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.hold.wait(120)
        with self._lock:
            self.ended.append(job_id)
            self.at_once -= 1


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    one = Recorder()
    yield one
    one.hold.set()


@pytest.fixture
def make(recorder: Recorder) -> Iterator[Make]:
    made: list[Timetable] = []

    def begin(run: Callable[[str], None] = recorder, clock: Clock = utc_now) -> Timetable:
        timetable = Timetable(run, clock=clock)
        made.append(timetable)
        timetable.start()
        return timetable

    yield begin
    for timetable in made:
        timetable.close()


def schedule(**keys: str) -> Schedule:
    return Schedule.from_document({f"schedule_{key}": value for key, value in keys.items()})


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def is_idle(timetable: Timetable) -> bool:
    """Whether no run goes on, nor begins right after one."""
    with timetable._changed:
        return not timetable._running


def look_again(timetable: Timetable) -> None:
    """Let the timer see a clock that was set; else it looks within half a minute."""
    with timetable._changed:
        timetable._changed.notify_all()


def test_a_continuous_job_runs_again_and_again(make: Make, recorder: Recorder) -> None:
    timetable = make()
    timetable.arm("c", schedule(interval="continuous"))
    wait_until(lambda: recorder.begun.count("c") >= 3)
    assert recorder.most_at_once == 1
    assert timetable.next_run_at("c") is not None


def test_arm_returns_the_next_instant(make: Make) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    expected = clock.now + timedelta(hours=4)
    assert timetable.arm("j", schedule(interval="4 hours")) == expected
    assert timetable.next_run_at("j") == expected


def test_an_overdue_job_runs_at_once(make: Make, recorder: Recorder) -> None:
    timetable = make()
    last = utc_now() - timedelta(hours=5)
    timetable.arm("late", schedule(interval="4 hours"), last)
    wait_until(lambda: recorder.ended == ["late"])
    following = timetable.next_run_at("late")
    assert following is not None
    assert following > utc_now() + timedelta(hours=3)


def test_a_date_runs_once_and_is_then_exhausted(make: Make, recorder: Recorder) -> None:
    timetable = make()
    at = (utc_now() - timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    timetable.arm("once", schedule(date=at))
    wait_until(lambda: recorder.ended == ["once"])
    assert timetable.next_run_at("once") is None


def test_firings_during_a_run_become_one_after_it(make: Make, recorder: Recorder) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    recorder.hold.clear()
    timetable.arm("j", schedule(interval="1 hours"))
    for _ in range(4):
        clock.advance(hours=1)
        look_again(timetable)
        wait_until(lambda: timetable._armed["j"].due_at > clock.now)
    wait_until(lambda: recorder.begun == ["j"])
    recorder.hold.set()
    wait_until(lambda: recorder.ended == ["j", "j"])
    wait_until(lambda: is_idle(timetable))
    assert recorder.begun == ["j", "j"]
    assert recorder.most_at_once == 1


@pytest.mark.parametrize(("later", "runs"), [(-1, 2), (0, 1), (600, 1)])
def test_a_run_may_count_for_an_instant_that_fell_into_it(
    make: Make, recorder: Recorder, later: int, runs: int
) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    recorder.hold.clear()
    timetable.arm("j", schedule(interval="1 hours"))
    clock.advance(hours=1)
    look_again(timetable)
    wait_until(lambda: recorder.begun == ["j"])
    clock.advance(hours=1)
    look_again(timetable)
    wait_until(lambda: "j" in timetable._again)
    timetable.serve("j", until=clock.now + timedelta(seconds=later))
    timetable.serve("unknown", until=clock.now)
    recorder.hold.set()
    wait_until(lambda: is_idle(timetable))
    assert recorder.begun == ["j"] * runs
    assert timetable.next_run_at("j") == clock.now + timedelta(hours=1)


def test_a_last_firing_that_waits_for_the_run_before_it_is_still_to_come(
    make: Make, recorder: Recorder
) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    recorder.hold.clear()
    timetable.arm("j", schedule(interval="1 hours", end_date="2026-11-23T14:00:00Z"))
    clock.advance(hours=1)
    look_again(timetable)
    wait_until(lambda: recorder.begun == ["j"])
    clock.advance(hours=1)
    look_again(timetable)
    wait_until(lambda: "j" not in timetable._armed)
    assert timetable.next_run_at("j") == clock.now
    recorder.hold.set()
    wait_until(lambda: recorder.ended == ["j", "j"])
    assert timetable.next_run_at("j") is None


def test_different_jobs_run_at_the_same_time(make: Make, recorder: Recorder) -> None:
    timetable = make()
    recorder.hold.clear()
    last = utc_now() - timedelta(days=1)
    for number in range(20):
        timetable.arm(f"j{number}", schedule(interval="4 hours"), last)
    wait_until(lambda: recorder.at_once == 20)


def test_a_machine_that_slept_makes_up_for_all_missed_firings_with_one(
    make: Make, recorder: Recorder
) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    timetable.arm("j", schedule(interval="1 seconds"))
    clock.advance(days=30)
    look_again(timetable)
    wait_until(lambda: recorder.ended == ["j"])
    assert timetable.next_run_at("j") == clock.now + timedelta(seconds=1)


def test_a_last_firing_that_is_hours_late_is_dropped_and_said(
    make: Make, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    timetable.arm("j", schedule(date="2026-11-23T13:00:00Z"))
    clock.advance(hours=5)
    look_again(timetable)
    wait_until(lambda: "too late" in caplog.text)
    assert timetable.next_run_at("j") is None
    assert recorder.begun == []


def test_a_disarmed_job_does_not_run(make: Make, recorder: Recorder) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    timetable.arm("gone", schedule(interval="1 hours"))
    timetable.arm("stays", schedule(interval="2 hours"))
    timetable.disarm("gone")
    timetable.disarm("never known")
    clock.advance(hours=3)
    look_again(timetable)
    wait_until(lambda: recorder.ended == ["stays"])
    assert timetable.next_run_at("gone") is None


def test_disarming_during_a_run_cancels_the_one_after_it(make: Make, recorder: Recorder) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    recorder.hold.clear()
    timetable.arm("j", schedule(interval="1 hours"))
    clock.advance(hours=1)
    look_again(timetable)
    wait_until(lambda: recorder.begun == ["j"])
    clock.advance(hours=1)
    look_again(timetable)
    wait_until(lambda: "j" in timetable._again)
    timetable.disarm("j")
    recorder.hold.set()
    wait_until(lambda: is_idle(timetable))
    assert recorder.begun == ["j"]


def test_arming_anew_replaces_the_schedule(make: Make) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    timetable.arm("j", schedule(interval="1 hours"))
    timetable.arm("j", schedule(interval="3 hours"))
    assert timetable.next_run_at("j") == clock.now + timedelta(hours=3)


def test_an_exception_of_a_run_is_logged_once_and_the_job_goes_on(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def run(job_id: str) -> None:
        calls.append(job_id)
        if len(calls) == 1:
            raise RuntimeError("out of luck")

    timetable = make(run)
    timetable.arm("j", schedule(interval="continuous"))
    wait_until(lambda: len(calls) >= 2)
    assert caplog.text.count("RuntimeError: out of luck") == 1


def test_a_refused_schedule_leaves_the_job_unarmed(make: Make) -> None:
    timetable = make()
    timetable.arm("j", schedule(interval="1 hours"))
    broken = Schedule(kind=ScheduleKind.CRON, cron={"hour": "sometimes"}, source={})
    with pytest.raises(InvalidDocument):
        timetable.arm("j", broken)
    assert timetable.next_run_at("j") is None


def test_an_exhausted_schedule_is_searched_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Schedule] = []

    def counting(one: Schedule, *, now: datetime, last_run_at: datetime | None) -> Trigger:
        searched.append(one)
        return trigger_for(one, now=now, last_run_at=last_run_at)

    monkeypatch.setattr("freezer_scheduler.timetable.trigger_for", counting)
    timetable = make()
    for _ in range(5):
        assert timetable.arm("j", schedule(day="30", month="2")) is None
    assert len(searched) == 1
    assert timetable.arm("j", schedule(day="28", month="2")) is not None
    assert len(searched) == 2


def test_nothing_fires_after_close(make: Make, recorder: Recorder) -> None:
    clock = SetClock()
    timetable = make(clock=clock)
    recorder.hold.clear()
    timetable.arm("j", schedule(interval="1 hours"))
    clock.advance(hours=1)
    look_again(timetable)
    wait_until(lambda: recorder.begun == ["j"])
    clock.advance(hours=1)
    look_again(timetable)
    wait_until(lambda: "j" in timetable._again)
    timetable.close()
    assert recorder.ended == []  # It did not wait for the run.
    assert not timetable._timer.is_alive()
    recorder.hold.set()
    wait_until(lambda: is_idle(timetable))
    assert recorder.begun == ["j"]
    timetable.close()


def test_a_timetable_that_was_never_started_can_be_closed() -> None:
    timetable = Timetable(print)
    timetable.arm("j", schedule(interval="1 hours"))
    timetable.close()


class TestCatchUp:
    """A machine that slept from half past twelve to a quarter to four; the job is hourly."""

    def woken(self, make: Make, clock: SetClock, rule: str) -> Timetable:
        timetable = make(clock=clock)
        timetable.arm("j", schedule(interval="1 hours", catch_up=rule))
        clock.advance(hours=3, minutes=45)
        look_again(timetable)
        return timetable

    def test_once_is_one_run(self, make: Make, recorder: Recorder) -> None:
        clock = SetClock()
        timetable = self.woken(make, clock, "once")
        wait_until(lambda: recorder.ended == ["j"])
        assert timetable.next_run_at("j") == datetime(2026, 11, 23, 16, tzinfo=UTC)

    def test_skip_is_none(self, make: Make, recorder: Recorder) -> None:
        clock = SetClock()
        at_four = datetime(2026, 11, 23, 16, tzinfo=UTC)
        timetable = self.woken(make, clock, "skip")
        wait_until(lambda: timetable.next_run_at("j") == at_four)
        assert recorder.begun == []
        clock.now = at_four + timedelta(seconds=30)
        look_again(timetable)
        wait_until(lambda: recorder.ended == ["j"])

    def test_all_is_each_one_in_order(self, make: Make) -> None:
        clock = SetClock()
        due: list[datetime | None] = []
        made: list[Timetable] = []

        def run(job_id: str) -> None:
            due.append(made[0].due_of_run(job_id))

        made.append(make(run, clock))
        made[0].arm("j", schedule(interval="1 hours", catch_up="all"))
        clock.advance(hours=3, minutes=45)
        look_again(made[0])
        wait_until(lambda: made[0].next_run_at("j") == datetime(2026, 11, 23, 16, tzinfo=UTC))
        wait_until(lambda: is_idle(made[0]))
        assert due == [datetime(2026, 11, 23, hour, tzinfo=UTC) for hour in (13, 14, 15)]

    def test_what_falls_into_a_run_is_skipped_too(self, make: Make, recorder: Recorder) -> None:
        clock = SetClock()
        timetable = make(clock=clock)
        recorder.hold.clear()
        timetable.arm("j", schedule(interval="1 hours", catch_up="skip"))
        for hour in (14, 15):
            clock.advance(hours=1)
            look_again(timetable)
            expected = datetime(2026, 11, 23, hour, tzinfo=UTC)
            wait_until(lambda expected=expected: timetable.next_run_at("j") == expected)
        recorder.hold.set()
        wait_until(lambda: is_idle(timetable))
        assert recorder.begun == ["j"]


class TestJitter:
    def test_starts_are_put_off_and_spread(self, make: Make, recorder: Recorder) -> None:
        clock = SetClock()
        timetable = make(clock=clock)
        for number in range(200):
            timetable.arm(f"j{number}", schedule(interval="1 hours", jitter="10 minutes"))
        clock.advance(minutes=65)
        look_again(timetable)
        # Half of them are due within the first half of the ten minutes; chance is the same always.
        wait_until(lambda: len(recorder.ended) > 70)
        assert len(recorder.begun) < 130
        clock.advance(minutes=5)
        look_again(timetable)
        wait_until(lambda: len(recorder.ended) == 200)

    def test_it_does_not_move_the_instants(self, make: Make) -> None:
        clock = SetClock()
        timetable = make(clock=clock)
        due = timetable.arm("j", schedule(interval="1 hours", jitter="10 minutes"))
        assert due == clock.now + timedelta(hours=1)
