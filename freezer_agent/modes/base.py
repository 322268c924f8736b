"""What a mode is: it makes an application quiet for a moment."""

from contextlib import AbstractContextManager
from typing import Protocol


class Mode(Protocol):
    """An application whose files are backed up."""

    name: str
    """The word of the --mode option."""

    def quiet(self) -> AbstractContextManager[None]:
        """A context in which the application's files are consistent.

        ModeError if it cannot be made quiet; then it runs as before. Leaving makes it run again,
        also after an error inside, and leaving a second time does nothing.
        """
        ...
