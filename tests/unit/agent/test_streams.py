import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_agent.errors import Damaged
from freezer_agent.pipeline.checksum import Checksum, verified
from freezer_agent.pipeline.streams import counted, rechunk


@given(chunks=st.lists(st.binary(max_size=40)), size=st.integers(1, 50))
def test_rechunk_cuts_to_size_and_keeps_every_byte(chunks: list[bytes], size: int) -> None:
    cut = list(rechunk(chunks, size))
    assert b"".join(cut) == b"".join(chunks)
    assert all(len(chunk) == size for chunk in cut[:-1])
    assert all(0 < len(chunk) <= size for chunk in cut[-1:])


def test_rechunk_pulls_no_more_than_it_needs() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"12345"
        raise AssertionError

    assert next(rechunk(chunks(), 3)) == b"123"


def test_rechunk_refuses_empty_chunks() -> None:
    with pytest.raises(ValueError, match="0 bytes"):
        list(rechunk([b"x"], 0))


def test_counted_reports_each_chunk() -> None:
    sizes: list[int] = []
    assert list(counted([b"ab", b"", b"c"], sizes.append)) == [b"ab", b"", b"c"]
    assert sizes == [2, 0, 1]


def test_checksum_is_that_of_all_chunks() -> None:
    checksum = Checksum()
    assert list(checksum.through([b"ab", b"c"])) == [b"ab", b"c"]
    assert checksum.hexdigest == hashlib.sha256(b"abc").hexdigest()
    assert checksum.size_bytes == 3


def test_verified_passes_what_was_written() -> None:
    digest = hashlib.sha256(b"abc").hexdigest().upper()
    assert list(verified([b"ab", b"c"], digest, "level 0")) == [b"ab", b"c"]


@pytest.mark.parametrize("chunks", [[b"ab"], [b"abd"], [], [b"abc", b"\0"]])
def test_verified_ends_other_bytes_with_an_error(chunks: list[bytes]) -> None:
    with pytest.raises(Damaged, match="level 0 is damaged"):
        list(verified(chunks, hashlib.sha256(b"abc").hexdigest(), "level 0"))
