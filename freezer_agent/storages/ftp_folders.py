"""Folders of an FTP server: what is in them, made and removed.

Paths are absolute. Servers do not tell "missing" from "forbidden" by code (both are 550), so
whether something is there is looked up in the folder above it.
"""

import contextlib
import ftplib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

# What servers answer to commands they do not know.
_UNKNOWN_COMMAND = ("500", "501", "502", "504")

_UNIX_LINE = re.compile(
    r"(?P<type>[-dl])\S{9,}\s+\d+\s+\S+\s+\S+\s+(?P<size>\d+)\s+\S+\s+\S+\s+\S+\s(?P<name>.+)"
)
_DOS_LINE = re.compile(r"\d\d-\d\d-\d\d+\s+\d\d:\d\d\S*\s+(?P<size>\d+|<DIR>)\s+(?P<name>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FtpEntry:
    """One name of a folder; `modified_at` is None where the server does not tell it in full."""

    name: str
    is_folder: bool
    size_bytes: int
    modified_at: datetime | None


def entries(ftp: ftplib.FTP, folder: str) -> list[FtpEntry]:
    """Everything in the folder but links and the like; nothing if it is not there."""
    try:
        ftp.cwd(folder)
    except ftplib.error_perm:
        if not is_folder(ftp, folder):
            return []
        raise
    try:
        return list(_by_mlsd(ftp))
    except ftplib.error_perm as error:
        if not str(error).startswith(_UNKNOWN_COMMAND):
            raise
        return list(_by_list(ftp))


def is_folder(ftp: ftplib.FTP, folder: str) -> bool:
    """Whether there is a folder of that path, also one that must not be entered."""
    above, name = _split(folder)
    if not name:
        return True
    with contextlib.suppress(ftplib.error_perm):
        ftp.cwd(folder)
        return True
    return any(entry.name == name and entry.is_folder for entry in entries(ftp, above))


def is_file(ftp: ftplib.FTP, path: str) -> bool:
    """Whether there is a file of that path, also one that must not be read."""
    above, name = _split(path)
    return any(entry.name == name and not entry.is_folder for entry in entries(ftp, above))


def make_folders(ftp: ftplib.FTP, folder: str) -> None:
    """Make what is missing of the folder."""
    try:
        ftp.cwd(folder)
    except ftplib.error_perm:
        above, name = _split(folder)
        if not name:
            raise
        make_folders(ftp, above)
        make_folder_if_missing(ftp, folder)


def make_folder_if_missing(ftp: ftplib.FTP, folder: str) -> None:
    """Make one folder; one that another writer has just made is fine."""
    try:
        ftp.mkd(folder)
    except ftplib.error_perm:
        if not is_folder(ftp, folder):
            raise


def remove_empty_folders(ftp: ftplib.FTP, folder: str, root: str) -> None:
    """Remove the folder and its parents below `root`, up to the first that is not empty."""
    ftp.cwd("/")  # a server may refuse to remove the folder that one is in
    while folder.startswith(root.rstrip("/") + "/"):
        try:
            ftp.rmd(folder)
        except ftplib.error_perm:
            if is_folder(ftp, folder):
                return
        folder = _split(folder)[0]


def _by_mlsd(ftp: ftplib.FTP) -> Iterator[FtpEntry]:
    for name, facts in ftp.mlsd():
        kind = facts.get("type", "").lower()
        if kind in {"file", "dir"}:
            yield FtpEntry(
                name=name,
                is_folder=kind == "dir",
                size_bytes=int(facts.get("size", 0)),
                modified_at=_instant(facts.get("modify", "")),
            )


def _by_list(ftp: ftplib.FTP) -> Iterator[FtpEntry]:
    lines: list[str] = []
    ftp.retrlines("LIST", lines.append)
    for line in lines:
        found = _UNIX_LINE.fullmatch(line) or _DOS_LINE.fullmatch(line)
        if found is None or found.groupdict().get("type") == "l":
            continue
        is_a_folder = line.startswith("d") or found["size"] == "<DIR>"
        if found["name"] not in {".", ".."}:
            yield FtpEntry(
                name=found["name"],
                is_folder=is_a_folder,
                size_bytes=0 if is_a_folder else int(found["size"]),
                modified_at=None,
            )


def _instant(text: str) -> datetime | None:
    try:
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _split(path: str) -> tuple[str, str]:
    above, _, name = path.rpartition("/")
    return above or "/", name
