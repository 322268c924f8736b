"""The proof that one scheduler, and no other, runs the files of a job directory."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freezer_scheduler.errors import DirectoryInUse


@contextmanager
def only_reader(folder: Path) -> Iterator[None]:
    """Hold a lock on the directory itself, which needs no file and dies with the process.

    Without the API the client id means nothing: two schedulers with different ones would run each
    job twice. A directory that is not there yet, or on a file system without locks, is not locked.
    Raises DirectoryInUse.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        # The board says what is wrong with it, each time that it looks.
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK:
                raise DirectoryInUse(folder) from error
        yield
    finally:
        os.close(descriptor)
