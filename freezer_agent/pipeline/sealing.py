"""Authenticated encryption of one object: a header, then frames that carry their place.

    header   magic "FRZSEAL1" (8), cipher (1), binary logarithm of the frame size (1), zeros (6),
             salt (32)
    frame    ciphertext of up to the frame size, then its tag (16); only the last may be shorter

The key of the object is drawn by HKDF-SHA256 from the key it is sealed with, the salt and the
header, so that two objects never share one. The nonce of a frame is its number, 11 bytes, and a
byte that is 1 for the last frame: frames that were left out, moved or cut away do not open. This is
the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár (CRYPTO 2015).

`doc/source/storage-format.rst` has the whole format with vectors.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from freezer_agent.errors import Damaged
from freezer_agent.pipeline.streams import rechunk

KEY_BYTES = 32

_MAGIC = b"FRZSEAL1"
_SALT_BYTES = 32
_HEADER_BYTES = 48
_TAG_BYTES = 16
# Large enough that Python's part in a frame does not count, small enough for the processor's cache.
_FRAME_BITS = 18
# A hostile header must not make the reader gather gigabytes before it finds out.
_SMALLEST_FRAME_BITS, _LARGEST_FRAME_BITS = 10, 24


class Cipher(StrEnum):
    """What frames are sealed with; the word is the one of the metadata."""

    AES_256_GCM = "aes-256-gcm"
    CHACHA20_POLY1305 = "chacha20-poly1305"


_NUMBERS = {Cipher.AES_256_GCM: 1, Cipher.CHACHA20_POLY1305: 2}


class Seal:
    """The stage that seals an object with `key`, which is meant for this purpose alone."""

    def __init__(
        self,
        *,
        key: bytes,
        cipher: Cipher,
        random_bytes: Callable[[int], bytes],
        what: str,
        frame_bits: int = _FRAME_BITS,
    ) -> None:
        self._key = key
        self._cipher = cipher
        self._random_bytes = random_bytes
        self._what = what
        self._frame_bits = frame_bits

    def forward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Seal under a fresh key."""
        header = _Header(
            cipher=self._cipher,
            frame_bits=self._frame_bits,
            salt=self._random_bytes(_SALT_BYTES),
        )
        encrypt = header.aead(self._key).encrypt
        yield header.to_bytes()
        number = 0
        for number, (frame, is_last) in enumerate(_told_last(rechunk(chunks, header.frame_bytes))):
            yield encrypt(_nonce(number, is_last=is_last), frame, None)

    def backward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Open frame by frame. Damaged for whatever is not exactly what was sealed.

        No byte of a frame is passed on before all of it was authenticated.
        """
        stream = iter(chunks)
        start = _gathered(stream, _HEADER_BYTES)
        header = self._parsed(start[:_HEADER_BYTES])
        aead = header.aead(self._key)
        sealed = rechunk(_chained(start[_HEADER_BYTES:], stream), header.frame_bytes + _TAG_BYTES)
        for number, (frame, is_last) in enumerate(_told_last(sealed)):
            if is_last and number and len(frame) == _TAG_BYTES:
                raise self._damaged("has an empty end that nobody writes")
            try:
                yield aead.decrypt(_nonce(number, is_last=is_last), frame, None)
            except InvalidTag:
                raise self._refusal(aead, number, frame, is_last=is_last) from None

    def _parsed(self, start: bytes) -> "_Header":
        if len(start) < _HEADER_BYTES:
            raise self._damaged("ends within its header")
        if not start.startswith(_MAGIC):
            raise self._damaged("is not sealed, though the metadata says so")
        header = _Header.from_bytes(start)
        if header is None:
            raise self._damaged("has a header that no release writes")
        return header

    def _refusal(
        self, aead: AESGCM | ChaCha20Poly1305, number: int, frame: bytes, *, is_last: bool
    ) -> Damaged:
        if is_last and len(frame) >= _TAG_BYTES:
            try:
                aead.decrypt(_nonce(number, is_last=False), frame, None)
            except InvalidTag:
                pass
            else:
                return self._damaged("ends early: its last part is missing")
        return self._damaged(f"was altered, cut or put in the place of another (frame {number})")

    def _damaged(self, finding: str) -> Damaged:
        return Damaged(f"{self._what} {finding}; restore from another copy or date")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    cipher: Cipher
    frame_bits: int
    salt: bytes

    @classmethod
    def from_bytes(cls, content: bytes) -> "_Header | None":
        """The header; None unless it is one that `to_bytes` makes."""
        ciphers = {number: cipher for cipher, number in _NUMBERS.items()}
        cipher, frame_bits = ciphers.get(content[8]), content[9]
        if cipher is None or not _SMALLEST_FRAME_BITS <= frame_bits <= _LARGEST_FRAME_BITS:
            return None
        header = cls(cipher=cipher, frame_bits=frame_bits, salt=content[16:])
        return header if header.to_bytes() == content else None

    @property
    def frame_bytes(self) -> int:
        return 1 << self.frame_bits

    def to_bytes(self) -> bytes:
        return _MAGIC + bytes([_NUMBERS[self.cipher], self.frame_bits]) + bytes(6) + self.salt

    def aead(self, key: bytes) -> AESGCM | ChaCha20Poly1305:
        """The cipher under the key of this one object."""
        key = derived(key, salt=self.salt, info=self.to_bytes())
        return AESGCM(key) if self.cipher is Cipher.AES_256_GCM else ChaCha20Poly1305(key)


def derived(key: bytes, *, info: bytes, salt: bytes | None = None) -> bytes:
    """A key of its own for what `info` tells, by HKDF-SHA256."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key)


def faster_cipher(cpu_facts: Path = Path("/proc/cpuinfo")) -> Cipher:
    """AES where the processor has instructions for it; without them ChaCha20 is faster."""
    try:
        words = cpu_facts.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        words = []
    return Cipher.AES_256_GCM if "aes" in words else Cipher.CHACHA20_POLY1305


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if is_last else b"\x00")


def _told_last(frames: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each frame and whether it is the last. There is always one: nothing is an empty frame."""
    held: bytes | None = None
    for frame in frames:
        if held is not None:
            yield held, False
        held = frame
    yield held or b"", True


def _gathered(stream: Iterator[bytes], size_bytes: int) -> bytes:
    gathered = b""
    for chunk in stream:
        gathered += chunk
        if len(gathered) >= size_bytes:
            break
    return gathered


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
