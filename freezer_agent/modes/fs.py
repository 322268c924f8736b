"""Plain files: nothing to make quiet, but the kernel may be told to write its buffers."""

import contextlib
import os
from collections.abc import Callable, Iterator


class Fs:
    """Plain files. With `sync` the buffers of the kernel reach the disks first."""

    name = "fs"

    def __init__(self, *, sync: bool, flush: Callable[[], None] = os.sync) -> None:
        self._sync = sync
        self._flush = flush

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Nothing is held: files may change while they are read, and the engine says which."""
        if self._sync:
            self._flush()
        yield
