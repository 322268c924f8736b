"""The folder in which the workers of one service keep their numbers, as long as it runs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "freezer-api-metrics-"


@contextmanager
def metrics_folder() -> Iterator[Path]:
    """A new folder, only for this user; removed at the end by the process that made it.

    It lies in systemd's RuntimeDirectory= where there is one (memory, and gone with the service),
    else among the temporary files. What a killed service left behind there is removed.
    """
    parent = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or None
    if parent is not None:
        for left in Path(parent).glob(f"{_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    owner = os.getpid()
    try:
        yield folder
    finally:
        # Workers are forks of this process, and some leave through here too.
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
