"""From a request's keys and stored metadata to codings: which compressor and cipher a backup takes.

Beside `assembly`, the only module that names concrete stages. Compression and cipher libraries are
imported when they are needed: a run without encryption does not wait 0.1 s for the latter.
"""

# ruff: noqa: PLC0415 - the reason stands above

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freezer_agent.errors import Damaged, EngineError, WrongKey
from freezer_agent.pipeline.chain import Pipeline, Stage
from freezer_agent.pipeline.coding import SEAL_FORMAT, Coding, PlainCoding, Purpose
from freezer_agent.pipeline.self_digest import DIGEST
from freezer_agent.requests import CipherChoice, Compression, Encryption, RekeyRequest

if TYPE_CHECKING:
    from freezer_agent.pipeline.key_slots import Slot, SlotMaker
    from freezer_agent.pipeline.keys import Keys
    from freezer_agent.pipeline.sealing import Cipher
    from freezer_agent.pipeline.state_keys import StateKeys

_LEGACY = "aes-256-cfb"


class CodingChoice:
    """The codings of a run: what it writes, and what the keys at hand open.

    `state_key_folder` is where a node that cannot open its own backups keeps what it needs.
    `has_room`: there is memory for stretching two pass phrases at once, or one beside a stream.
    """

    def __init__(
        self,
        compression: Compression,
        encryption: Encryption,
        random_bytes: Callable[[int], bytes],
        state_key_folder: Path,
        *,
        has_room: bool = False,
    ) -> None:
        self._compression = compression
        self._encryption = encryption
        self._random_bytes = random_bytes
        self._state_key_folder = state_key_folder
        self._has_room = has_room

    @property
    def remarks(self) -> Sequence[str]:
        """A warning for a pass phrase file that every user may read."""
        file = self._encryption.pass_file
        if file is None:
            return ()
        from freezer_agent.pipeline.keys import is_open_to_others

        if not is_open_to_others(file):
            return ()
        return (f"the pass phrase file {file} may be read by every user: chmod 600 it",)

    @property
    def opened_at_once(self) -> int:
        """Each pass phrase takes 32 MiB while it is stretched, and a core."""
        return 2 if self._has_room else 1

    def prepare(self) -> None:
        """Begin to stretch the pass phrase for the key slot, if there is room for it."""
        if self._has_room and self._wanted_format() == SEAL_FORMAT:
            for maker in self._slot_makers:
                maker.prepare()

    def begin(self, place: str) -> Coding:
        """The coding that this run asks for."""
        if not self._encryption.is_asked_for:
            return PlainCoding(lambda: Pipeline(_compressors(self._compression)), None)
        if self._encryption.cipher is CipherChoice.AES_256_CFB:
            return self._legacy(self._compression)
        return self._new_seal(place)

    def opened(self, place: str, metadata: Mapping[str, Any]) -> Coding:
        """The coding that the metadata tells, with the keys at hand."""
        if DIGEST in metadata:
            from freezer_agent.pipeline.sealed_coding import check_digest

            # Before anything else is believed: a flipped bit is no word of another release.
            check_digest(metadata, place)
        compression, stored = _compression_of(metadata), _format_of(metadata)
        if stored is None:
            self._check_unencrypted(place, metadata)
            return PlainCoding(lambda: Pipeline(_compressors(compression)), None)
        if stored == _LEGACY:
            self._check_unsealed(place)
            return self._legacy(compression)
        if stored == SEAL_FORMAT:
            return self._opened_seal(place, metadata, compression)
        raise EngineError(
            f"{place} is encrypted as {stored!r}, which this release does not know: restore it "
            "with the release that made it"
        )

    def state(self, place: str, metadata: Mapping[str, Any]) -> Pipeline:
        """The pipeline of the state that the next level builds on."""
        wanted, stored = self._wanted_format(), _format_of(metadata)
        if stored != wanted:
            raise WrongKey(
                f"it is {'not encrypted' if stored is None else f'encrypted as {stored}'}, and "
                f"this backup {'will not be' if wanted is None else f'will be as {wanted}'}"
            )
        if stored != SEAL_FORMAT:
            # Neither has a pipeline for the state, nor needs a key for it.
            return Pipeline([])
        return self._sealed_state(place, metadata)

    def _wanted_format(self) -> str | None:
        if not self._encryption.is_asked_for:
            return None
        return _LEGACY if self._encryption.cipher is CipherChoice.AES_256_CFB else SEAL_FORMAT

    def _check_unencrypted(self, place: str, metadata: Mapping[str, Any]) -> None:
        """Somebody who can write to the storage must not slip in bytes that need no key."""
        if "key_slots" in metadata:
            raise Damaged(f"the metadata of {place} contradicts itself; restore another date")
        if self._encryption.has_key and not self._encryption.allow_unencrypted:
            raise WrongKey(
                f"{place} is not encrypted, though a key was given: it may have been put in the "
                "place of one that is. If it is known to be sound, restore it without a key, or "
                "with --allow-unencrypted if only a part of the chain is encrypted"
            )

    def _check_unsealed(self, place: str) -> None:
        """Who names a cipher that seals wants nothing that could have been altered unnoticed."""
        wanted = self._encryption.cipher
        if wanted not in {CipherChoice.AUTOMATIC, CipherChoice.AES_256_CFB}:
            raise WrongKey(
                f"{place} is not sealed but encrypted as {_LEGACY}, and --cipher {wanted} was "
                "asked for: it may have been put in the place of one that is. If it is known to "
                "be sound, restore it without --cipher"
            )

    def _legacy(self, compression: Compression) -> Coding:
        from freezer_agent.pipeline.keys import read_pass_phrase
        from freezer_agent.pipeline.legacy_cipher import LegacyCipher

        if self._encryption.pass_file is None:
            raise WrongKey(
                "Cannot restore encrypted backup without key: give --encrypt-pass-file with the "
                "file that it was made with"
            )
        pass_phrase = read_pass_phrase(self._encryption.pass_file)
        cipher = LegacyCipher(pass_phrase, self._random_bytes)
        return PlainCoding(lambda: Pipeline([*_compressors(compression), cipher]), _LEGACY)

    def _new_seal(self, place: str) -> Coding:
        from freezer_agent.pipeline.sealed_coding import SealedCoding, new_data_key

        data_key = new_data_key(self._random_bytes)

        def slots() -> "list[Slot]":
            return [maker.make(data_key, place) for maker in self._slot_makers]

        return SealedCoding(
            data_key=data_key,
            place=place,
            compressors=lambda: _compressors(self._compression),
            cipher=self._cipher(),
            random_bytes=self._random_bytes,
            slots=slots if self._has_room else functools.partial(list, slots()),
            keep_state_key=None if self._encryption.has_key else self._state_keys.keep,
        )

    def _opened_seal(
        self, place: str, metadata: Mapping[str, Any], compression: Compression
    ) -> Coding:
        from freezer_agent.pipeline.sealed_coding import SealedCoding, cipher_of, open_metadata

        return SealedCoding(
            data_key=open_metadata(metadata, place, self._keys),
            place=place,
            compressors=lambda: _compressors(compression),
            cipher=cipher_of(metadata),
            random_bytes=self._random_bytes,
        )

    def _sealed_state(self, place: str, metadata: Mapping[str, Any]) -> Pipeline:
        from freezer_agent.pipeline.sealed_coding import check_digest, sealed_state, state_key_id

        check_digest(metadata, place)
        identity = state_key_id(metadata)
        key = self._state_keys.find(identity) if identity else None
        if key is not None:
            return sealed_state(key, place)
        if not self._encryption.has_key:
            raise WrongKey("this node has not kept, or has lost, the key of its engine state")
        return self.opened(place, metadata).pipeline(Purpose.STATE)

    @functools.cached_property
    def _slot_makers(self) -> "Sequence[SlotMaker]":
        from freezer_agent.pipeline.key_slots import PassPhraseSlots, RecipientSlots
        from freezer_agent.pipeline.keys import read_recipient

        return (
            *(PassPhraseSlots(one, self._random_bytes) for one in self._keys.pass_phrases),
            *(
                RecipientSlots(read_recipient(text), self._random_bytes)
                for text in self._encryption.recipients
            ),
        )

    @functools.cached_property
    def _keys(self) -> "Keys":
        return _read_keys(self._encryption)

    @functools.cached_property
    def _state_keys(self) -> "StateKeys":
        from freezer_agent.pipeline.state_keys import StateKeys

        return StateKeys(self._state_key_folder, self._random_bytes)

    def _cipher(self) -> "Cipher":
        from freezer_agent.pipeline.sealing import Cipher, faster_cipher

        if self._encryption.cipher is CipherChoice.AUTOMATIC:
            return faster_cipher()
        return Cipher(self._encryption.cipher)


def make_rekeying(
    request: RekeyRequest, random_bytes: Callable[[int], bytes]
) -> Sequence[Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]]:
    """The steps from the metadata of a sealed backup to that with the keys that are wanted."""
    from freezer_agent.pipeline.keys import read_pass_phrase, read_recipient
    from freezer_agent.pipeline.rekeying import Openers, Rekeying

    def openers(pass_file: Path | None, recipients: Sequence[str]) -> Openers:
        return Openers(
            pass_phrases=() if pass_file is None else (read_pass_phrase(pass_file),),
            recipients=tuple(read_recipient(text) for text in recipients),
        )

    return Rekeying(
        keys=_read_keys(request.encryption),
        added=openers(request.new_pass_file, request.new_recipients),
        removed=openers(request.removed_pass_file, request.removed_recipients),
        random_bytes=random_bytes,
    ).steps()


def _read_keys(encryption: Encryption) -> "Keys":
    from freezer_agent.pipeline.keys import Keys, read_pass_phrase, read_private_key

    pass_file, key_file = encryption.pass_file, encryption.key_file
    return Keys(
        pass_phrases=() if pass_file is None else (read_pass_phrase(pass_file),),
        private_keys=() if key_file is None else (read_private_key(key_file),),
    )


def _format_of(metadata: Mapping[str, Any]) -> str | None:
    if not metadata.get("encryption"):
        return None
    return str(metadata.get("encryption_format") or _LEGACY)


def _compression_of(metadata: Mapping[str, Any]) -> Compression:
    word = metadata.get("compression") or Compression.GZIP
    if word not in list(Compression):
        raise EngineError(
            f"the backup is compressed with {word!r}, which this release does not know; "
            "restore it with the release that made it",
        )
    return Compression(word)


def _compressors(compression: Compression) -> list[Stage]:
    from freezer_agent.pipeline.compression import Bzip2, Gzip, Xz, Zstd

    stages: dict[Compression, Callable[[], list[Stage]]] = {
        Compression.GZIP: lambda: [Gzip()],
        Compression.BZIP2: lambda: [Bzip2()],
        Compression.XZ: lambda: [Xz()],
        Compression.ZSTD: lambda: [Zstd()],
        Compression.NONE: list,
    }
    return stages[compression]()
