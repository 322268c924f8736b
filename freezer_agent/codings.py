"""From options and stored metadata to codings: which compressor and cipher a backup takes.

Beside `assembly`, the only module that names concrete stages.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from freezer_agent.errors import EngineError, WrongKey
from freezer_agent.pipeline.chain import Pipeline, Stage
from freezer_agent.pipeline.coding import Coding, PlainCoding, Purpose
from freezer_agent.requests import Compression

_LEGACY_CIPHER = "aes-256-cfb"


class CodingChoice:
    """The codings of a run that writes with one compression and, perhaps, one pass phrase."""

    def __init__(
        self,
        compression: Compression,
        pass_file: Path | None,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._compression = compression
        self._pass_file = pass_file
        self._random_bytes = random_bytes

    def begin(self, place: str) -> Coding:  # noqa: ARG002  # these codings are not bound to it
        """The coding that this run asks for."""
        if self._pass_file is None:
            return PlainCoding(lambda: Pipeline(_compressors(self._compression)), None)
        return self._legacy(self._compression)

    def opened(self, place: str, metadata: Mapping[str, Any]) -> Coding:  # noqa: ARG002  # see above
        """The coding that the metadata tells, with the key at hand."""
        compression = _compression_of(metadata)
        stored = _format_of(metadata)
        if stored is None:
            return PlainCoding(lambda: Pipeline(_compressors(compression)), None)
        if stored != _LEGACY_CIPHER:
            raise EngineError(
                f"the backup is encrypted as {stored!r}, which this release does not know"
            )
        return self._legacy(compression)

    def state(self, place: str, metadata: Mapping[str, Any]) -> Pipeline:
        """The pipeline of the state that the next level builds on."""
        wanted = None if self._pass_file is None else _LEGACY_CIPHER
        stored = _format_of(metadata)
        if stored != wanted:
            raise WrongKey(
                f"it is {'not encrypted' if stored is None else f'encrypted as {stored}'}, and "
                f"this backup {'will not be' if wanted is None else f'will be as {wanted}'}"
            )
        return self.opened(place, metadata).pipeline(Purpose.STATE)

    def _legacy(self, compression: Compression) -> Coding:
        if self._pass_file is None:
            raise WrongKey(
                "Cannot restore encrypted backup without key: give --encrypt-pass-file with the "
                "file that it was made with"
            )
        # The cipher library takes 0.1 s to import, which only encrypted backups should pay.
        from freezer_agent.pipeline.legacy_cipher import (  # noqa: PLC0415  # see above
            LegacyCipher,
            read_pass_phrase,
        )

        cipher = LegacyCipher(read_pass_phrase(self._pass_file), self._random_bytes)
        return PlainCoding(
            lambda: Pipeline([*_compressors(compression), cipher]), encryption_format=_LEGACY_CIPHER
        )


def _format_of(metadata: Mapping[str, Any]) -> str | None:
    if not metadata.get("encryption"):
        return None
    return str(metadata.get("encryption_format") or _LEGACY_CIPHER)


def _compression_of(metadata: Mapping[str, Any]) -> Compression:
    word = metadata.get("compression") or Compression.GZIP
    if word not in list(Compression):
        raise EngineError(
            f"the backup is compressed with {word!r}, which this release does not know; "
            "restore it with the release that made it",
        )
    return Compression(word)


def _compressors(compression: Compression) -> list[Stage]:
    # Imported here, so that actions without a stream do not wait for compression libraries.
    from freezer_agent.pipeline.compression import (  # noqa: PLC0415  # see above
        Bzip2,
        Gzip,
        Xz,
        Zstd,
    )

    stages: dict[Compression, Callable[[], list[Stage]]] = {
        Compression.GZIP: lambda: [Gzip()],
        Compression.BZIP2: lambda: [Bzip2()],
        Compression.XZ: lambda: [Xz()],
        Compression.ZSTD: lambda: [Zstd()],
        Compression.NONE: list,
    }
    return stages[compression]()
