from collections.abc import Iterable, Iterator

import pytest

from freezer_agent.errors import AccessRefused, StorageUnavailable
from freezer_agent.storages.base import StoredObject
from freezer_agent.storages.memory import Memory
from freezer_agent.storages.retrying import Attempts, Retrying, attempt


class Flaky(Memory):
    """Fails the next `failures` times that something is asked of it, after `chunks` chunks."""

    def __init__(self, failures: int, chunks: int = 0) -> None:
        super().__init__()
        self.failures = failures
        self.chunks = chunks
        self.asked = 0

    def fail(self) -> None:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("away for a moment")

    def read(self, key: str) -> Iterator[bytes]:
        content = b"".join(super().read(key))
        for number, at in enumerate(range(0, len(content), 3)):
            if number == self.chunks:
                self.fail()
            yield content[at : at + 3]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for number, stored in enumerate(super().list(prefix)):
            if number == self.chunks:
                self.fail()
            yield stored

    def delete(self, key: str) -> None:
        self.fail()
        super().delete(key)

    def create(self, key: str, content: bytes) -> None:
        self.fail()
        super().create(key, content)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def attempts(pauses: list[float]) -> Attempts:
    return Attempts(3, pauses.append, lambda: 0.0)


def test_the_action_is_repeated_until_it_works(attempts: Attempts, pauses: list[float]) -> None:
    storage = Flaky(2)
    attempt(lambda: storage.delete("a"), attempts)
    assert storage.asked == 3
    assert pauses == [0.5, 1.0]


def test_the_last_error_is_raised(attempts: Attempts) -> None:
    storage = Flaky(3)
    with pytest.raises(StorageUnavailable, match="away"):
        attempt(lambda: storage.delete("a"), attempts)
    assert storage.asked == 3


def test_pauses_double_up_to_a_minute_and_vary() -> None:
    pauses: list[float] = []
    with pytest.raises(StorageUnavailable):
        attempt(Flaky(99).fail, Attempts(10, pauses.append, lambda: 1.0))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_other_errors_are_not_repeated(attempts: Attempts, pauses: list[float]) -> None:
    def refused() -> None:
        raise AccessRefused("no")

    with pytest.raises(AccessRefused):
        attempt(refused, attempts)
    assert pauses == []


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_read_goes_on_where_it_broke(attempts: Attempts, chunks: int) -> None:
    storage = Flaky(0, chunks)
    storage.write("a", [b"0123456789"])
    storage.failures = 2
    assert b"".join(Retrying(storage, attempts).read("a")) == b"0123456789"


def test_an_object_that_shrank_meanwhile_is_no_whole_object(attempts: Attempts) -> None:
    storage = Flaky(1, 2)
    storage.write("a", [b"0123456789"])
    stream = Retrying(storage, attempts).read("a")
    assert next(stream) == b"012"
    assert next(stream) == b"345"
    storage.write("a", [b"01"])
    with pytest.raises(StorageUnavailable, match="shorter"):
        list(stream)


def test_a_listing_goes_on_where_it_broke(attempts: Attempts) -> None:
    storage = Flaky(0, 2)
    for key in "dbca":
        storage.write(key, [b""])
    storage.failures = 2
    assert [stored.key for stored in Retrying(storage, attempts).list("")] == list("abcd")


def test_create_and_write_are_never_repeated(attempts: Attempts) -> None:
    storage = Flaky(1)
    retrying = Retrying(storage, attempts)
    with pytest.raises(StorageUnavailable):
        retrying.create("a", b"x")
    assert storage.asked == 1

    def chunks() -> Iterator[bytes]:
        raise StorageUnavailable("a storage that is read for this one")
        yield b""

    with pytest.raises(StorageUnavailable):
        retrying.write("a", chunks())


def test_no_attempts_are_refused() -> None:
    with pytest.raises(ValueError, match="0 attempts"):
        Attempts(0, lambda _: None, lambda: 0.0)


def test_a_sequence_is_written_again_but_an_iterator_is_not(attempts: Attempts) -> None:
    class FlakyWriting(Flaky):
        def write(self, key: str, chunks: Iterable[bytes]) -> int:
            self.fail()
            return super().write(key, chunks)

    flaky = FlakyWriting(2)
    assert Retrying(flaky, attempts).write("metadata", [b"{}"]) == 2
    assert flaky.asked == 3
    flaky.failures = 1
    with pytest.raises(StorageUnavailable):
        Retrying(flaky, attempts).write("data", iter([b"x"]))
    assert flaky.asked == 4
