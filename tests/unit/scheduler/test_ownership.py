"""Several schedulers of one client id, on a shared directory and on a real Redis."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from freezer_scheduler.errors import CoordinationUnavailable, HeldElsewhere
from freezer_scheduler.ownership import Alone, Shared
from tests.services import redis
from tests.services.fixtures import require

# The library leaves the file of a lock that it could not get to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

JOBS = [f"job{number}" for number in range(60)]

Make = Callable[[str], Shared]


@pytest.fixture(scope="module")
def redis_server() -> Iterator[redis.Redis]:
    require(redis.find, redis.install)
    with redis.running() as server:
        yield server


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.service)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}?timeout=60"
    server: redis.Redis = request.getfixturevalue("redis_server")
    # Redis forgets the dead by their silence only, which then is not to take long.
    return server.url(gone_after=5) if "killed" in request.node.name else server.url()


@pytest.fixture
def make(url: str, request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Shared] = []

    def join(member: str) -> Shared:
        one = Shared(url, group=request.node.name, member=member)
        one.open()
        made.append(one)
        return one

    yield join
    for one in made:
        one.close()


def owned(one: Shared) -> set[str]:
    return {job for job in JOBS if one.owns(job)}


def refreshed(*members: Shared) -> list[set[str]]:
    for one in members:
        one.refresh()
    return [owned(one) for one in members]


def test_one_alone_owns_all(make: Make) -> None:
    assert refreshed(make("a")) == [set(JOBS)]


def test_each_job_has_one_owner(make: Make) -> None:
    parts = refreshed(make("a"), make("b"), make("c"))
    assert set.union(*parts) == set(JOBS)
    assert sum(len(part) for part in parts) == len(JOBS)
    assert all(parts)


def test_the_others_take_over_from_one_that_leaves(make: Make) -> None:
    one, other = make("a"), make("b")
    (before, _) = refreshed(one, other)
    other.close()
    assert refreshed(one) == [set(JOBS)]
    assert before < set(JOBS)
    assert owned(other) == set()


def test_nothing_is_owned_before_the_first_look(make: Make) -> None:
    assert owned(make("a")) == set()


def test_a_run_is_one_member_s(make: Make) -> None:
    one, other = make("a"), make("b")
    with one.running("job"):
        assert other.runs_elsewhere("job")
        with pytest.raises(HeldElsewhere), other.running("job"):
            raise AssertionError("two run")
        assert not other.runs_elsewhere("job2")
    assert not other.runs_elsewhere("job")
    with other.running("job"):
        assert one.runs_elsewhere("job")


def test_two_cannot_have_one_name(make: Make, url: str, request: pytest.FixtureRequest) -> None:
    make("a")
    with pytest.raises(CoordinationUnavailable, match="calls itself a"):
        Shared(url, group=request.node.name, member="a").open()


KILLED = """
import sys, time
from freezer_scheduler.ownership import Shared
one = Shared(sys.argv[1], group=sys.argv[2], member="killed")
one.open()
with one.running("its job"):
    print("there", flush=True)
    time.sleep(120)
"""


def test_the_jobs_of_one_that_was_killed_are_taken_over(
    make: Make, url: str, request: pytest.FixtureRequest
) -> None:
    argv = [sys.executable, "-c", KILLED, url, request.node.name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"there\n"
        one = make("a")
        (part,) = refreshed(one)
        assert part < set(JOBS)
        assert one.runs_elsewhere("its job")
        killed.send_signal(signal.SIGKILL)
    wait_until(lambda: refreshed(one) == [set(JOBS)] and not one.runs_elsewhere("its job"))
    wait_until(lambda: is_joined(make, "killed"))


def is_joined(make: Make, member: str) -> bool:
    """Whether the member could join: the lock on its name may outlive the others by a moment."""
    try:
        make(member)
    except CoordinationUnavailable:
        return False
    return True


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.service
def test_a_beat_that_comes_as_the_group_is_left_does_no_harm(redis_server: redis.Redis) -> None:
    one = Shared(redis_server.url(), group="g", member="a")
    one.open()
    coordinator = one._coordinator

    class Late(threading.Event):
        """The group is left after the thread that beats has seen that it goes on."""

        def wait(self, timeout: float | None = None) -> bool:
            was_ended = super().wait(timeout)
            self.set()
            one.close()
            return was_ended

    one._beat(coordinator, Late())


@pytest.mark.service
def test_a_service_that_goes_and_comes_back() -> None:
    require(redis.find, redis.install)
    with redis.running() as server:
        one = Shared(server.url(), group="g", member="a")
        one.refresh()
        assert owned(one) == set(JOBS)
        server.stop()
        with pytest.raises(CoordinationUnavailable):
            one.refresh()
        assert owned(one) == set()
        with pytest.raises(CoordinationUnavailable), one.running("job"):
            raise AssertionError("it ran")
        server.start()
        wait_until(lambda: is_refreshed(one))
        assert owned(one) == set(JOBS)
        one.close()


def is_refreshed(one: Shared) -> bool:
    try:
        one.refresh()
    except CoordinationUnavailable:
        return False
    return True


@pytest.mark.parametrize("url", ["nothing://x", "redis://127.0.0.1:1", "file:///proc/no"])
def test_a_backend_that_cannot_be(url: str) -> None:
    with pytest.raises(CoordinationUnavailable, match="cannot be joined"):
        Shared(url, group="g", member="a").open()


def test_a_password_is_not_told() -> None:
    with pytest.raises(CoordinationUnavailable) as caught:
        Shared("redis://:secret@127.0.0.1:1", group="g", member="a").open()
    assert "secret" not in str(caught.value)


def test_alone() -> None:
    one = Alone()
    one.open()
    one.refresh()
    assert one.owns("a")
    assert not one.runs_elsewhere("a")
    with one.running("a"):
        pass
    one.close()
