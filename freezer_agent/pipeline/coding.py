"""How the objects of one backup are coded: a pipeline for each, and what the metadata tells of it.

An engine's stream is compressed and perhaps encrypted. What lies beside it, the engine state and
the index of files, is encrypted whenever the stream is, because both are full of file names.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from freezer_agent.pipeline.chain import Pipeline

SEAL_FORMAT = "freezer-seal-1"
"""The `encryption_format` of sealed backups."""


class Purpose(StrEnum):
    """What an object of a backup is for; the word is the last part of its key."""

    DATA = "data"
    STATE = "engine_metadata"
    INDEX = "index"


class Coding(Protocol):
    """The pipelines of the objects of one backup."""

    @property
    def format(self) -> str | None:
        """The word of `encryption_format` in the metadata; None for what is not encrypted."""
        ...

    @property
    def authenticates(self) -> bool:
        """Whether the pipelines notice every altered byte, so that no further digest is needed."""
        ...

    def pipeline(self, purpose: Purpose) -> Pipeline:
        """Forward from the engine's side to the storage's, backward the other way."""
        ...

    def completed(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The metadata object to publish: as given, with what opening the backup takes.

        A node that cannot open its own backups keeps now what its next level needs.
        """
        ...


class Codings(Protocol):
    """Makes the coding of a new backup, and finds that of a stored one.

    `place` is the backup's folder in the storage layout (ENGINE/HOST_NAME/LEVEL0/LEVEL_TIME). An
    authenticated coding is bound to it: bytes of another place do not open.
    """

    @property
    def remarks(self) -> Sequence[str]:
        """What the operator should know about the keys; goes into the warnings of the report."""
        ...

    @property
    def opened_at_once(self) -> int:
        """How many stored backups may be opened at a time, for the memory that it takes."""
        ...

    def prepare(self) -> None:
        """Start with what takes long of the next `begin`, while other things are looked at."""
        ...

    def begin(self, place: str) -> Coding:
        """The coding of a backup about to be made. Every call has fresh keys."""
        ...

    def opened(self, place: str, metadata: Mapping[str, Any]) -> Coding:
        """The coding of a stored backup.

        WrongKey if the keys at hand do not open it, Damaged if its metadata was altered,
        EngineError if this release does not know how it is coded.
        """
        ...

    def state(self, place: str, metadata: Mapping[str, Any]) -> Pipeline:
        """The pipeline of the engine state of a stored backup that the next level builds on.

        WrongKey also if this run would code the next level in another way, which would make a
        chain that only some keys open. Other errors are those of `opened`.
        """
        ...


class PlainCoding:
    """No authentication: the stages of the stream, and the engine state as it is.

    Former releases read the state of an encrypted backup in the clear. The index is ours alone, so
    it is encrypted with the stages of the stream.
    """

    authenticates = False

    def __init__(self, make_data: Callable[[], Pipeline], encryption_format: str | None) -> None:
        self._make_data = make_data
        self.format = encryption_format

    def pipeline(self, purpose: Purpose) -> Pipeline:
        """The stages of the stream for it, and for the index if they encrypt; else none."""
        is_coded = purpose is Purpose.DATA or (purpose is Purpose.INDEX and self.format is not None)
        return self._make_data() if is_coded else Pipeline([])

    def completed(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The words that all releases since 4 read."""
        document = {**metadata, "encryption": self.format is not None}
        if self.format is not None:
            document["encryption_format"] = self.format
        return document
