"""What a storage does with files and folders of an SFTP session, beyond single requests."""

import contextlib
import stat

from freezer_agent.storages.sftp import Sftp
from freezer_agent.storages.sftp_packets import Code, SftpFailed

# "No such file", and what OpenSSH says when a part of the path is a file.
_NOT_THERE = {Code.NO_SUCH_FILE, Code.FAILURE}


def parent(path: bytes) -> bytes:
    """The folder that the path lies in."""
    folder, slash, _ = path.rpartition(b"/")
    return folder or (b"/" if slash else b".")


def is_there(sftp: Sftp, path: bytes) -> bool:
    """Whether the path leads to anything."""
    return _mode(sftp, path) is not None


def is_folder(sftp: Sftp, path: bytes) -> bool:
    """Whether the path leads to a folder."""
    return stat.S_ISDIR(_mode(sftp, path) or 0)


def remove_if_there(sftp: Sftp, path: bytes) -> None:
    """Remove the file; one that is missing already is fine."""
    try:
        sftp.remove_file(path)
    except SftpFailed:
        if is_there(sftp, path):
            raise


def make_folders(sftp: Sftp, folder: bytes) -> bytes | None:
    """Make what is missing of the folder; gives the topmost that was missing, if any."""
    missing: list[bytes] = []
    while folder not in {b"/", b"."} and not is_folder(sftp, folder):
        missing.append(folder)
        folder = parent(folder)
    for path in reversed(missing):
        try:
            sftp.make_folder(path, 0o700)
        except SftpFailed:
            if not is_folder(sftp, path):  # else another writer was faster
                raise
    return missing[-1] if missing else None


def remove_empty_folders(sftp: Sftp, folder: bytes, root: bytes) -> None:
    """Remove the folder and its parents below `root`, up to the first that is not empty."""
    while folder.startswith(root.rstrip(b"/") + b"/"):
        try:
            sftp.remove_folder(folder)
        except SftpFailed as error:
            if error.code != Code.NO_SUCH_FILE:
                return  # not empty, most likely; an empty folder does no harm
        folder = parent(folder)


def sync_folders(sftp: Sftp, folder: bytes, first_made: bytes | None) -> None:
    """Make new names durable, up to the parent of the topmost new folder.

    OpenSSH opens and syncs folders like files. Other servers refuse, and keep their own order.
    """
    last = folder if first_made is None else parent(first_made)
    while True:
        with contextlib.suppress(SftpFailed):
            handle = sftp.open_file(folder)
            try:
                sftp.sync(handle)
            finally:
                sftp.close_file(handle)
        if folder in {last, b"/", b"."}:
            return
        folder = parent(folder)


def _mode(sftp: Sftp, path: bytes) -> int | None:
    try:
        return sftp.stat(path).mode
    except SftpFailed as error:
        if error.code in _NOT_THERE:
            return None
        raise
