"""The listing of a tar stream: every header, no content, however the stream is cut."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_agent.engines.tar_listing import Listing
from freezer_agent.engines.tar_members import Member, MemberWalk
from freezer_agent.errors import Damaged
from freezer_agent.pipeline.spool import Spool, unspooled
from tests.unit.agent.test_tar_members import ARCHIVES


def cut(content: bytes, borders: list[int]) -> list[bytes]:
    starts = [0, *sorted(borders)]
    return [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]


def listed(chunks: list[bytes]) -> bytes:
    listing = Listing()
    walk = MemberWalk(lambda member: listing.note(member.extent), 1 << 20)
    parts = []
    for chunk in chunks:
        walk.feed(chunk)
        parts.append(listing.headers_of(chunk))
    return b"".join(parts)


def told(members: list[Member]) -> list[tuple[object, ...]]:
    return [(one.kind, one.name, one.size_bytes, one.link_name) for one in members]


@given(st.sampled_from(sorted(ARCHIVES)), st.lists(st.integers(0, 20_000)))
def test_the_listing_has_the_members_and_no_contents(name: str, cuts: list[int]) -> None:
    archive = ARCHIVES[name]
    listing = listed(cut(archive, cuts))
    assert len(listing) < len(archive) - 6000
    assert b"size=7 size=7" not in listing
    whole: list[Member] = []
    walk = MemberWalk(whole.append, 1 << 20)
    walk.feed(archive)
    walk.finish()
    members: list[Member] = []
    walk = MemberWalk(members.append, 1 << 20, has_contents=False)
    for piece in cut(listing, cuts):
        walk.feed(piece)
    walk.finish()
    assert told(members) == told(whole)


def test_a_spool_gives_back_what_was_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    with spool:
        for number in range(1000):
            spool.write(b"%d" % number * 100)
    assert spool.size_bytes == sum(len(b"%d" % number) * 100 for number in range(1000))
    compressed = b"".join(spool.compressed())
    assert b"".join(unspooled([compressed])) == b"".join(b"%d" % n * 100 for n in range(1000))
    with pytest.raises(Damaged):
        list(unspooled([compressed[:-5]]))
