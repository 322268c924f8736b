import io
import itertools
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_agent.engines.tar_members import Kind, Member, MemberWalk
from freezer_agent.errors import Damaged

LONG = "folder/" * 40 + "name"
SIZE = 3_000


def archive(tar_format: int) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tar_format) as tar:
        for kind, name, link in (
            (tarfile.DIRTYPE, "folder/", ""),
            (tarfile.REGTYPE, LONG, ""),
            (tarfile.REGTYPE, "caf\u00e9\n", ""),
            (tarfile.SYMTYPE, "link", LONG),
            (tarfile.LNKTYPE, "hard", "link"),
            (tarfile.FIFOTYPE, "fifo", ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            info.size = SIZE if kind == tarfile.REGTYPE else 0
            info.mtime = 1.5
            tar.addfile(info, io.BytesIO(b"size=7 " * 1000))
    return raw.getvalue()


ARCHIVES = {
    "pax": archive(tarfile.PAX_FORMAT),
    "gnu": archive(tarfile.GNU_FORMAT),
}
WANTED = [
    (Kind.DIRECTORY, "folder", 0, ""),
    (Kind.FILE, LONG, SIZE, ""),
    (Kind.FILE, "caf\u00e9\n", SIZE, ""),
    (Kind.SYMLINK, "link", 0, LONG),
    (Kind.HARD_LINK, "hard", 0, "link"),
    (Kind.FIFO, "fifo", 0, ""),
]


def walked(chunks: list[bytes], most_extension_bytes: int = 1 << 20) -> list[Member]:
    members: list[Member] = []
    walk = MemberWalk(members.append, most_extension_bytes)
    for chunk in chunks:
        walk.feed(chunk)
    walk.finish()
    return members


def described(members: list[Member]) -> list[tuple[Kind, str, int, str]]:
    return [
        (m.kind, m.name.decode().rstrip("/"), m.size_bytes, m.link_name.decode()) for m in members
    ]


@pytest.mark.parametrize("form", ARCHIVES)
@given(borders=st.lists(st.integers(0, 20_000), max_size=30))
def test_members_are_found_for_every_chunking(form: str, borders: list[int]) -> None:
    content = ARCHIVES[form]
    starts = [0, *sorted(borders)]
    chunks = [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]
    assert described(walked(chunks)) == WANTED


@pytest.mark.parametrize("form", ARCHIVES)
@given(size=st.integers(0, 9_000))
def test_a_cut_archive_has_no_end(form: str, size: int) -> None:
    with pytest.raises(Damaged, match="ends early"):
        walked([ARCHIVES[form][:size]])


@pytest.mark.parametrize("form", ARCHIVES)
def test_each_flipped_bit_of_a_header_is_noticed_unless_it_says_the_same(form: str) -> None:
    unnoticed = []
    for at, bit in itertools.product(range(512), range(8)):
        content = bytearray(ARCHIVES[form])
        content[at] ^= 1 << bit
        try:
            members = walked([bytes(content)])
        except Damaged:
            continue
        assert described(members) == WANTED
        unnoticed.append((at, bit))
    # A leading zero of the checksum as a blank, and the two bytes that end it for each other.
    assert unnoticed == [(148, 4), (154, 5), (155, 5)]


def test_an_extension_that_is_too_long_is_not_kept() -> None:
    members = walked([ARCHIVES["gnu"]], most_extension_bytes=100)
    assert [member.is_cut for member in members] == [False, True, False, True, False, False]


def test_a_size_of_more_than_eight_gigabytes_is_read() -> None:
    info = tarfile.TarInfo("large")
    info.size = 9 << 33
    for header in (info.tobuf(tarfile.PAX_FORMAT), info.tobuf(tarfile.GNU_FORMAT)):
        members: list[Member] = []
        MemberWalk(members.append, 1 << 20).feed(header)
        assert [member.size_bytes for member in members] == [9 << 33]


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_content_where_none_can_be_is_refused(kind: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.size = 512
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[156:157] = kind
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(Damaged, match="claims to have content"):
        walked([bytes(header) + bytes(512 * 3)])
