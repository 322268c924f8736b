"""The shape that `tar --listed-incremental` always gives an archive, and names that stay inside.

All directories come first, each after the one it is in, then everything else, each in one of these
directories. In such an archive no member's path can lead through a link.
"""

from freezer_agent.engines.tar_members import Kind, Member
from freezer_agent.engines.tar_moves import MalformedMoves, Move, find_moves, pair_up
from freezer_agent.errors import Damaged

_ROOT = b""


class ShapeCheck:
    """Looks at the members of one archive in their order."""

    def __init__(self) -> None:
        self.moves: list[Move] = []
        """The moves of directories that the archive records."""
        self.first_records = b""
        self.first_end = 0
        """Records and end of the first member; 0 if it moves nothing."""
        self.in_directories = True
        """Whether only directories came so far."""
        self._directories = {_ROOT}
        self._is_first = True

    def name_of(self, member: Member) -> bytes:
        """The member's name below the top, b"" for the top itself. Damaged for a hostile one."""
        if member.is_cut:
            raise hostile(b"?", "has a header of more than 64 MiB")
        raw = member.name
        name = inside(raw)
        if member.kind is Kind.DIRECTORY:
            self._check_directory(name, member)
        else:
            if member.kind is Kind.FILE and raw.endswith(b"/"):
                raise hostile(name, "is a file with the name of a directory")
            self._check_other(name, member)
        self._is_first = False
        return name

    def _check_directory(self, name: bytes, member: Member) -> None:
        if not self.in_directories:
            raise hostile(name, "is a directory that comes after files")
        self._check_parent(name)
        self._directories.add(name)
        if moves := find_moves(member.directory_records):
            if not self._is_first:
                raise hostile(name, "renames other directories late")
            self._take_moves(moves, member)

    def _take_moves(self, entries: list[tuple[int, bytes]], member: Member) -> None:
        """Remember what the first member moves; all names must stay inside."""
        try:
            self.moves = pair_up([(code, inside(raw)) for code, raw in entries])
        except MalformedMoves:
            raise hostile(b".", "renames a directory to nothing") from None
        self.first_records = member.directory_records
        self.first_end = member.extent.end

    def _check_other(self, name: bytes, member: Member) -> None:
        self.in_directories = False
        self._check_parent(name)
        if name in self._directories:
            raise hostile(name, "is a directory and something else")
        if member.directory_records:
            raise hostile(name, "has the records of a directory but is none")
        if member.kind is Kind.HARD_LINK:
            self._check_parent(inside(member.link_name))

    def _check_parent(self, name: bytes) -> None:
        if name.rpartition(b"/")[0] not in self._directories:
            raise hostile(name, "lies in a directory that the archive does not hold")


def inside(name: bytes) -> bytes:
    """The name relative to the target, without dots and doubled slashes; b"" is the target."""
    if name.startswith(b"/"):
        raise hostile(name, "is absolute")
    parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise hostile(name, "leads upwards")
    return b"/".join(parts)


def hostile(name: bytes, why: str) -> Damaged:
    """The error about a member that no backup writes."""
    return Damaged(
        f"the archive was not made by a backup, or was altered: its member {name!r} {why}; "
        "nothing more of it is extracted"
    )
