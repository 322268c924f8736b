"""File trees as GNU tar archives with listed increments: the format of every Freezer so far.

The archives are pax archives with extended attributes, ACLs, holes and times in nanoseconds; any
GNU tar extracts them. Compression and encryption are stages of the pipeline, not tar's matter.
"""

import contextlib
import errno
import functools
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from freezer_agent import processes
from freezer_agent.engines.base import EngineState, SourceNotes
from freezer_agent.engines.tar_guard import guarded
from freezer_agent.engines.tar_kept import KeptDirectories
from freezer_agent.engines.tar_listing import Listing
from freezer_agent.engines.tar_members import Kind, Member, MemberWalk
from freezer_agent.engines.tar_messages import TarMessages, readable
from freezer_agent.engines.tar_snapshot import copy_without_moved
from freezer_agent.engines.tar_tree import TarTree
from freezer_agent.errors import CommandFailed, EngineError

PROGRAMS = ("gnutar", "gtar", "tar")

# The C locale makes the messages and the quoting of names in them predictable; TAR_OPTIONS and
# the like of the user's environment do not belong in a backup.
_ENVIRONMENT = {"LC_ALL": "C"}
_PROBE_SECONDS = 30.0
# 160 KiB in each call in place of 10: of 78,000 small files tar takes 1.7 s of processor time, not
# 2.5, and we get a ninth of the chunks. A multiple of tar's own 20, as other readers expect.
_BLOCKING = "--blocking-factor=320"
_MOST_EXTENSION_BYTES = 1 << 20
_SOME_FILES_FAILED = 2
# Tar may look for the next change for long; so soon it is seen that nobody wants it any more.
_IDLE_SECONDS = 1.0


class Dereference(StrEnum):
    """Which links are stored as what they point to."""

    NONE = "none"
    SOFT = "soft"
    HARD = "hard"
    ALL = "all"


_DEREFERENCE_OPTIONS = {
    Dereference.NONE: (),
    Dereference.SOFT: ("--dereference",),
    Dereference.HARD: ("--hard-dereference",),
    Dereference.ALL: ("--dereference", "--hard-dereference"),
}


def find_gnu_tar(search_path: str | None = None) -> Path:
    """The first of gnutar, gtar and tar in the search path that is GNU tar, or EngineError."""
    for name in PROGRAMS:
        found = shutil.which(name, path=search_path)
        if found and b"GNU tar" in _answer([found, "--version"]):
            return Path(found)
    raise EngineError(
        "no GNU tar found: install the package 'tar' (Linux) or 'gtar'/'gnu-tar' (BSD, macOS) "
        "and have it in PATH"
    )


class TarEngine:
    """Backs up a directory or a single file with GNU tar, and restores it."""

    name = "tar"

    def __init__(
        self,
        tar_program: Path,
        exclude: Sequence[str] = (),
        dereference: Dereference = Dereference.NONE,
        kept: Sequence[Path] = (),
    ) -> None:
        """`kept` are directories, links resolved, that no restore removes or writes to."""
        self._tar_program = tar_program
        self._kept = tuple(kept)
        self._exclude = tuple(exclude)
        self._dereference = dereference

    def backup(self, source: Path, state: EngineState, notes: SourceNotes) -> Iterator[bytes]:
        """The archive of a tree, or of one file, relative to the state before.

        Files that change, vanish or cannot be read meanwhile are counted in `notes` and do not
        fail the backup; a source that is not there, or cannot be read at all, does.
        """
        folder, name = _place(source)
        _check_readable(source)
        messages = TarMessages(notes)
        listing = Listing() if state.listing is not None else None
        walk = MemberWalk(_Counter(notes, folder, listing).count, _MOST_EXTENSION_BYTES)
        with self._prepared(state, folder):
            stream = processes.stream_out(
                self._backup_arguments(state.next, name),
                cwd=folder,
                env=_ENVIRONMENT,
                accept=(0, 1),
                on_error_line=messages.take,
                idle_seconds=_IDLE_SECONDS,
            )
            try:
                for chunk in stream:
                    walk.feed(chunk)
                    if listing is not None and state.listing is not None:
                        state.listing(listing.headers_of(chunk))
                    yield chunk
            except CommandFailed as error:
                if error.status != _SOME_FILES_FAILED or messages.failures:
                    raise _backup_failed(source, error, messages.failures) from error
            finally:
                stream.close()
            if messages.failures and not notes.files and not notes.directories:
                raise EngineError(f"tar stored nothing of {source}: {messages.failures[0]}")
            walk.finish()

    def restore(self, target: Path, chunks: Iterable[bytes], notes: SourceNotes) -> None:
        """Extract one level into `target`; entries that the level no longer has are removed.

        Files are replaced, not written over: one that runs or has another hard link outside the
        target is not touched by that, and set-uid bits stay. Damaged for a stream that is cut or
        would reach out of the target. EngineError if tar could not extract everything, or would
        remove a directory that is to be kept.
        """
        messages = _RestoreMessages(notes)
        kept = KeptDirectories(target, self._kept)
        stream = guarded(chunks, os.fsencode(target), messages.miss, kept.check)
        self._extract(target, stream, messages, ("--incremental",))

    def tree(self, work: Path) -> TarTree:
        """An empty tree, for the levels of a chain."""

        def extract(target: Path, chunks: Iterable[bytes], notes: SourceNotes) -> None:
            self._extract(target, chunks, _RestoreMessages(notes), ())

        return TarTree(work, extract)

    def _extract(
        self,
        target: Path,
        chunks: Iterable[bytes],
        messages: "_RestoreMessages",
        options: Sequence[str],
    ) -> None:
        try:
            processes.feed_in(
                self._restore_arguments(target, options),
                chunks,
                env=_ENVIRONMENT,
                on_error_line=messages.take,
            )
        except CommandFailed as error:
            raise EngineError(
                f"tar could not extract everything to {target}: {error.stderr_tail.strip()}"
            ) from error

    @contextlib.contextmanager
    def _prepared(self, state: EngineState, folder: Path) -> Iterator[None]:
        """The next state file made from the previous one; gone if the backup fails."""
        follow_links = self._dereference in {Dereference.SOFT, Dereference.ALL}
        try:
            if state.previous is None:
                state.next.unlink(missing_ok=True)
            else:
                copy_without_moved(state.previous, state.next, folder, follow_links=follow_links)
            yield
        except BaseException:
            state.next.unlink(missing_ok=True)
            raise

    def _backup_arguments(self, snapshot: Path, name: bytes) -> list[str]:
        return [
            str(self._tar_program),
            "--create",
            "--file=-",
            _BLOCKING,
            "--format=posix",
            # Times of access and of change of the inode cannot be restored.
            "--pax-option=delete=atime,delete=ctime",
            "--sparse",
            "--seek",
            "--no-check-device",
            "--one-file-system",
            "--ignore-failed-read",
            "--quoting-style=escape",
            *self._attribute_options,
            *_DEREFERENCE_OPTIONS[self._dereference],
            f"--listed-incremental={snapshot}",
            *(f"--exclude={pattern}" for pattern in self._exclude),
            "--no-unquote",
            "--",
            os.fsdecode(name),
        ]

    def _restore_arguments(self, target: Path, options: Sequence[str]) -> list[str]:
        return [
            str(self._tar_program),
            "--extract",
            "--file=-",
            _BLOCKING,
            *options,
            "--preserve-permissions",
            "--warning=no-timestamp",
            "--quoting-style=escape",
            *self._attribute_options,
            f"--directory={target}",
        ]

    @functools.cached_property
    def _attribute_options(self) -> tuple[str, ...]:
        """The options for extended attributes and ACLs that this tar was built with."""
        nothing = ("--create", "--file=/dev/null", "--files-from=/dev/null")
        wanted = (("--xattrs", "--xattrs-include=*"), ("--acls",))
        program = str(self._tar_program)
        return tuple(
            option
            for options in wanted
            if not _complains([program, *options, *nothing])
            for option in options
        )


class _Counter:
    """Counts the members of an outgoing archive."""

    def __init__(self, notes: SourceNotes, folder: Path, listing: Listing | None) -> None:
        self._notes = notes
        self._folder = os.fsencode(folder)
        self._listing = listing

    def count(self, member: Member) -> None:
        notes = self._notes
        if self._listing is not None:
            self._listing.note(member.extent)
        if member.kind is Kind.DIRECTORY:
            notes.directories += 1
            return
        notes.files += 1
        if member.kind is Kind.FILE:
            notes.source_bytes += member.size_bytes
        elif member.kind is Kind.SYMLINK and not _leads_somewhere(self._folder, member.name):
            notes.broken_links += 1


def _leads_somewhere(folder: bytes, link: bytes) -> bool:
    # Path.exists raises for a target that is too long, this does not.
    return os.path.exists(os.path.join(folder, link))  # noqa: PTH110, PTH118


class _RestoreMessages:
    """Takes tar's lines while it extracts: a full disk ends it, attributes refused are noted."""

    def __init__(self, notes: SourceNotes) -> None:
        self._notes = notes

    def take(self, line: bytes) -> None:
        if line.endswith((b": No space left on device", b": Disk quota exceeded")):
            raise EngineError(
                f"the disk is full: {readable(line)}; make room and restore again with --overwrite"
            )
        _, _, message = line.partition(b": ")
        if message.startswith(b"Exiting with failure status") or not message:
            return
        self._notes.changed += 1
        name, _, why = message.partition(b": ")
        self._notes.note(readable(name), readable(why))

    def miss(self, name: bytes) -> None:
        """A directory that moved lacks files that the archive takes for unchanged."""
        self._notes.changed += 1
        self._notes.note(
            readable(name), "files in it are in no level: they could not be read or were replaced"
        )


def _place(source: Path) -> tuple[Path, bytes]:
    """The directory to run tar in, and what to store of it."""
    try:
        status = source.stat() if source.is_dir() else source.lstat()
    except OSError as error:
        raise EngineError(f"cannot back up {source}: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        return source, b"."
    return source.parent, os.fsencode(source.name)


def _check_readable(source: Path) -> None:
    """EngineError if the source itself is closed to us: that is no single unreadable file."""
    try:
        if source.is_dir():
            with os.scandir(source):
                return
        if source.is_file() and not source.is_symlink():
            source.open("rb").close()
    except OSError as error:
        if error.errno in {errno.ETXTBSY, errno.EWOULDBLOCK}:
            return
        raise EngineError(f"cannot read {source}: {error.strerror}") from error


def _backup_failed(source: Path, error: CommandFailed, failures: list[str]) -> EngineError:
    reason = "; ".join(failures) or error.stderr_tail.strip() or str(error)
    return EngineError(f"tar could not back up {source}: {reason}")


def _answer(argv: Sequence[str]) -> bytes:
    try:
        return processes.run(argv, env=_ENVIRONMENT, timeout_seconds=_PROBE_SECONDS).stdout
    except CommandFailed:
        return b""


def _complains(argv: Sequence[str]) -> bool:
    try:
        output = processes.run(argv, env=_ENVIRONMENT, timeout_seconds=_PROBE_SECONDS)
    except CommandFailed:
        return True
    return bool(output.stderr)
