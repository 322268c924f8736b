"""Restore some names of a chain of archives, and touch nothing else.

Everything is extracted in a private directory inside the target first: from each level's stream
only the members that the tree still has from that level. What is complete then takes the place of
what the target has under the selected names, by renames. Last come the attributes of directories,
which moving things into them would change.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from freezer_agent.engines.base import SourceNotes, Streams
from freezer_agent.engines.selection import Selection
from freezer_agent.engines.tar_guard import guarded
from freezer_agent.engines.tar_listing import picked
from freezer_agent.engines.tar_members import Kind, Member
from freezer_agent.engines.tar_shape import inside
from freezer_agent.errors import Damaged, EngineError

if TYPE_CHECKING:
    from freezer_agent.engines.tar_tree import TarTree

_END = bytes(2 * 512)
Extract = Callable[[Path, Iterable[bytes], SourceNotes], None]


class Picking:
    """One restore of selected names."""

    def __init__(
        self,
        tree: "TarTree",
        extract: Extract,
        streams: Streams,
        notes: SourceNotes,
    ) -> None:
        self._tree = tree
        self._extract = extract
        self._streams = streams
        self._notes = notes

    def restore(self, selection: Selection, target: Path) -> int:
        """Restore into a directory that exists; how many names were restored."""
        count = self._want(selection)
        if not count:
            return 0
        staging = Path(tempfile.mkdtemp(prefix=".freezer-restore-", dir=target))
        try:
            for level in self._tree.wanted_levels():
                self._extract_level(level, staging / f"{level}")
            tops = list(self._assemble(selection, staging))
            made = self._put_into_place(tops, staging, target)
        finally:
            shutil.rmtree(staging)
        self._set_attributes(selection, made, target)
        return count

    def _want(self, selection: Selection) -> int:
        """Note which members are needed; a hard link needs the one it is linked to."""
        count = 0
        for _, (_, _, kind, level, member, _, link) in self._tree.chosen(selection):
            count += 1
            if kind != "directory":
                self._tree.want(level, member)
            if kind == "hard link":
                self._tree.want(level, inside(link))
        return count

    def _extract_level(self, level: int, folder: Path) -> None:
        folder.mkdir()

        def is_wanted(member: Member) -> bool:
            return member.kind is not Kind.DIRECTORY and self._tree.wants(
                level, inside(member.name)
            )

        with self._streams(level) as stream:
            self._extract(
                folder, picked(guarded(stream, os.fsencode(folder)), is_wanted), self._notes
            )

    def _assemble(self, selection: Selection, staging: Path) -> Iterator[bytes]:
        """Build the selected part of the tree from the levels; yields the topmost names."""
        base = os.fsencode(staging / "tree")
        os.mkdir(base)  # noqa: PTH102  # names are bytes
        for name, (parent, _, kind, level, member, _, _) in self._tree.chosen(selection):
            if parent not in selection or not parent:
                yield name
            place = _made_parents(base, name)
            if kind == "directory":
                with contextlib.suppress(FileExistsError):
                    os.mkdir(place, 0o700)  # noqa: PTH102  # names are bytes
                continue
            try:
                os.rename(os.path.join(os.fsencode(staging), b"%d" % level, member), place)  # noqa: PTH104, PTH118  # bytes
            except FileNotFoundError:
                raise Damaged(
                    f"the backup's index promises {os.fsdecode(name)!r}, which its stream does not "
                    "hold; restore without --include, or from another copy"
                ) from None

    def _put_into_place(self, tops: list[bytes], staging: Path, target: Path) -> set[bytes]:
        """Replace what the target has under these names; the directories made for them."""
        base, tree = os.fsencode(target), os.fsencode(staging / "tree")
        away = os.fsencode(staging / "away")
        for name in tops:
            _check_no_link(base, name)
        made: set[bytes] = set()
        for name in tops:
            place = _made_parents(base, name, made)
            if os.path.lexists(place):
                os.rename(place, away)  # noqa: PTH104  # names are bytes
            os.rename(os.path.join(tree, name), place)  # noqa: PTH104, PTH118  # names are bytes
            _remove(away)
        return made

    def _set_attributes(self, selection: Selection, made: set[bytes], target: Path) -> None:
        def headers() -> Iterator[bytes]:
            for name in sorted(made):
                yield self._tree.header_of(name) or b""
            for _, (*_, header, _) in self._tree.chosen(selection):
                yield header or b""
            yield _END

        self._extract(target, headers(), self._notes)


def _made_parents(base: bytes, name: bytes, made: set[bytes] | None = None) -> bytes:
    """The path of a name, with the directories above it made. EngineError for a link among them."""
    path, above = base, b""
    *folders, last = name.split(b"/")
    for folder in folders:
        path = os.path.join(path, folder)  # noqa: PTH118  # names are bytes
        above = above + b"/" + folder if above else folder
        try:
            os.mkdir(path, 0o700)  # noqa: PTH102  # names are bytes
            if made is not None:
                made.add(above)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise _in_the_way(path) from None
    return os.path.join(path, last)  # noqa: PTH118  # names are bytes


def _check_no_link(base: bytes, name: bytes) -> None:
    """EngineError if something above the name is there and is no directory."""
    path = base
    for folder in name.split(b"/")[:-1]:
        path = os.path.join(path, folder)  # noqa: PTH118  # names are bytes
        if os.path.lexists(path) and not stat.S_ISDIR(os.lstat(path).st_mode):
            raise _in_the_way(path)


def _in_the_way(path: bytes) -> EngineError:
    return EngineError(
        f"{os.fsdecode(path)!r} is a directory in the backup and something else in the target: "
        "remove it, or restore into another directory"
    )


def _remove(path: bytes) -> None:
    if os.path.islink(path) or not os.path.isdir(path):  # noqa: PTH112, PTH114  # bytes
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108  # names are bytes
    else:
        shutil.rmtree(path)
