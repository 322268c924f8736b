"""The snapshot file of GNU tar's listed increments: the directories of the level before.

Tar knows a moved directory by its inode number. Inode numbers are used again, though: a new
directory that got the number of a removed one is then recorded as that one moved, and an archive
with such a record often cannot be extracted ("Cannot rename"). After a restore, when all numbers
are new, nearly every directory looks moved. So directories that are no longer where they were are
forgotten before tar runs; a moved one is then simply stored again, in full.
"""

import mmap
import os
import re
import shutil
import stat
from pathlib import Path

_HEADER = re.compile(rb"GNU tar-[^\n]{1,40}-2\n-?\d+\0\d+\0")
_RECORD = re.compile(
    rb"[01]\0-?\d+\0\d+\0-?\d+\0(?P<inode>\d+)\0(?P<name>[^\0]+)\0(?:[^\0]+\0)*\0\0"
)


def copy_without_moved(previous: Path, copy: Path, folder: Path, *, follow_links: bool) -> None:
    """Copy a snapshot file, less the directories that are not at their place in `folder` any more.

    A file of another form is copied as it is: tar knows the older forms, and refuses the rest.
    """
    if previous.stat().st_size == 0:
        shutil.copyfile(previous, copy)
        return
    with (
        previous.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        copy.open("wb") as kept,
    ):
        header = _HEADER.match(content)
        if header is None:
            kept.write(content)
            return
        kept.write(header[0])
        at = header.end()
        top = os.fsencode(folder)
        while record := _RECORD.match(content, at):
            path = top + b"/" + record["name"]
            if _is_directory(path, int(record["inode"]), follow_links=follow_links):
                kept.write(record[0])
            at = record.end()
        # What could not be understood is tar's to judge.
        kept.write(content[at:])


def _is_directory(path: bytes, inode: int, *, follow_links: bool) -> bool:
    try:
        status = os.stat(path, follow_symlinks=follow_links)  # noqa: PTH116 - names are bytes
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_ino == inode
