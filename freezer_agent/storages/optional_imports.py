"""Import a library without another one that it would load for what is not used here."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def without(name: str) -> Iterator[None]:
    """Inside, importing the module `name` fails as if it were not installed.

    For libraries that work without it. One that is loaded already stays as it is.
    """
    if name in sys.modules:
        yield
        return
    modules: dict[str, Any] = sys.modules
    modules[name] = None  # which the language defines to be an ImportError
    try:
        yield
    finally:
        del modules[name]
