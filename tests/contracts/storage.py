"""What every storage promises, as tests. A storage binds them in a class with an `empty` fixture."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freezer_agent.errors import AccessRefused, ObjectExists, ObjectNotFound
from freezer_agent.storages.base import Storage

STRANGE_KEYS = (
    "data/tar/host_name/1/0_1/data",
    "with blank/and\nnewline",
    "-rf/*",
    "uml\u00e4ut/\u4e2d",
    "undecodable/\udcff\udce9",
    "a" * 200 + "/" + "b" * 200,
    "dots../..dots/.hidden",
    "colon:semi;quote'\"/back\\slash",
)
BAD_KEYS = ("", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/.", "nul\0")

parts = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda part: part not in {".", ".."} and not part.startswith(".freezer-"))
keys = st.lists(parts, min_size=1, max_size=4).map("/".join)


class Broke(Exception):
    """The source of the chunks failed."""


def keys_of(storage: Storage, prefix: str = "") -> list[str]:
    return [stored.key for stored in storage.list(prefix)]


def content(storage: Storage, key: str) -> bytes:
    return b"".join(storage.read(key))


class StorageContract:
    """The promises of `freezer_agent.storages.base.Storage`."""

    def test_has_a_word_for_the_option(self, empty: Storage) -> None:
        assert empty.kind.isalnum()

    def test_read_after_write(self, empty: Storage) -> None:
        chunks = [b"one", b"", b"x" * 3_000_000, b"end"]
        assert empty.write("a/b", iter(chunks)) == 3_000_006
        assert content(empty, "a/b") == b"".join(chunks)

    def test_an_empty_object_is_an_object(self, empty: Storage) -> None:
        assert empty.write("empty", []) == 0
        assert content(empty, "empty") == b""
        assert keys_of(empty) == ["empty"]

    @pytest.mark.parametrize("key", STRANGE_KEYS)
    def test_any_posix_name_is_a_part_of_a_key(self, empty: Storage, key: str) -> None:
        empty.write(key, [b"x"])
        assert keys_of(empty) == [key]
        assert content(empty, key) == b"x"
        empty.delete(key)
        assert keys_of(empty) == []

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_no_key_names_something_outside(self, empty: Storage, key: str) -> None:
        with pytest.raises(AccessRefused):
            empty.write(key, [b"x"])
        with pytest.raises(AccessRefused):
            empty.create(key, b"x")
        with pytest.raises(AccessRefused):
            b"".join(empty.read(key))
        with pytest.raises(AccessRefused):
            empty.delete(key)

    def test_missing_object(self, empty: Storage) -> None:
        empty.write("a/b", [b"x"])
        for key in ("missing", "a/missing", "a", "a/b/c"):
            with pytest.raises(ObjectNotFound):
                b"".join(empty.read(key))

    def test_write_replaces(self, empty: Storage) -> None:
        empty.write("a", [b"a long first version"])
        assert empty.write("a", [b"second"]) == 6
        assert content(empty, "a") == b"second"

    def test_the_former_object_is_read_while_a_new_one_is_written(self, empty: Storage) -> None:
        empty.write("a", [b"former"])
        seen = []

        def chunks() -> Iterator[bytes]:
            yield b"new"
            seen.append(content(empty, "a"))
            seen.append(keys_of(empty) == ["a"])
            yield b"er"

        empty.write("a", chunks())
        assert seen == [b"former", True]
        assert content(empty, "a") == b"newer"

    @pytest.mark.parametrize("error", [Broke("source"), OSError(28, "source"), KeyboardInterrupt()])
    def test_an_error_of_the_chunks_passes_and_leaves_nothing(
        self, empty: Storage, error: BaseException
    ) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"x" * 100_000
            raise error

        empty.write("kept", [b"kept"])
        for key in ("a/new", "kept"):
            with pytest.raises(type(error)) as raised:
                empty.write(key, chunks())
            assert raised.value is error
        assert keys_of(empty) == ["kept"]
        assert content(empty, "kept") == b"kept"

    def test_create_makes_a_new_object_only(self, empty: Storage) -> None:
        empty.create("lock/name", b"first")
        with pytest.raises(ObjectExists):
            empty.create("lock/name", b"second")
        assert content(empty, "lock/name") == b"first"
        assert keys_of(empty) == ["lock/name"]
        empty.delete("lock/name")
        empty.create("lock/name", b"third")
        assert content(empty, "lock/name") == b"third"

    def test_one_of_many_creators_succeeds(self, empty: Storage) -> None:
        def create(number: int) -> bool:
            try:
                empty.create("lock", b"%d" % number)
            except ObjectExists:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(create, range(16)))
        assert sum(results) == 1
        assert content(empty, "lock") == b"%d" % results.index(True)

    def test_list_is_complete_and_ordered(self, empty: Storage) -> None:
        wanted = sorted(
            ["b", "a/2", "a/10", "a.x/1", "a-b/1", "a/deep/er/down/4", "ab/1", "a0/1"]
            + [f"many/{number:03}" for number in range(150)]
        )
        for key in reversed(wanted):
            empty.write(key, [key.encode()])
        assert [(s.key, s.size_bytes) for s in empty.list("")] == [(k, len(k)) for k in wanted]

    def test_list_takes_whole_folders(self, empty: Storage) -> None:
        for key in ("a/b/c", "a/bc", "ab/c"):
            empty.write(key, [b""])
        assert keys_of(empty, "a/b") == ["a/b/c"]
        assert keys_of(empty, "a/b/") == ["a/b/c"]
        assert keys_of(empty, "a") == ["a/b/c", "a/bc"]
        assert keys_of(empty, "missing/folder") == []
        assert keys_of(empty, "a/bc") == []

    def test_delete(self, empty: Storage) -> None:
        for key in ("a/b/c", "a/d"):
            empty.write(key, [b"x"])
        empty.delete("a/b/c")
        empty.delete("a/b/c")
        empty.delete("never/was")
        empty.delete("a/d/under an object")
        assert keys_of(empty) == ["a/d"]
        with pytest.raises(ObjectNotFound):
            content(empty, "a/b/c")

    def test_usage_counts_everything(self, empty: Storage) -> None:
        empty.write("a/b", [b"12345"])
        empty.write("c", [b"123"])
        usage = empty.usage()
        assert sum(container.size_bytes for container in usage) == 8
        assert sum(container.objects for container in usage) == 2

    def test_an_open_read_ends_when_it_is_left(self, empty: Storage) -> None:
        empty.write("a", [b"x" * 5_000_000])
        chunks = empty.read("a")
        assert next(chunks)
        del chunks
        empty.delete("a")
        assert keys_of(empty) == []

    # One storage for all examples is meant: each leaves it empty, and each class has its own.
    @settings(
        max_examples=40,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(objects=st.dictionaries(keys, st.binary(max_size=50), max_size=6))
    def test_holds_exactly_what_was_written(
        self, empty: Storage, objects: dict[str, bytes]
    ) -> None:
        wanted = {
            key: value
            for key, value in objects.items()
            if not any(other.startswith(key + "/") for other in objects)
            and all(len(part.encode()) <= 200 for part in key.split("/"))
        }
        for key, value in wanted.items():
            empty.write(key, [value])
        assert {s.key: content(empty, s.key) for s in empty.list("")} == wanted
        assert keys_of(empty) == sorted(wanted)
        for key in wanted:
            empty.delete(key)
        assert keys_of(empty) == []
