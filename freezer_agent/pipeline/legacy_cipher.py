"""AES-256-CFB as `openssl enc -aes-256-cfb -pass file:` writes it, to read the backups of old.

It hides contents and nothing more: no key stretching, no authentication. Bits can be flipped and
streams be cut without a trace here; only what the pipeline does next can notice.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms

from freezer_agent.errors import Damaged, WrongKey

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:  # cryptography before 47 has it here, later ones warn there
    from cryptography.hazmat.primitives.ciphers.modes import CFB

_MARK = b"Salted__"
_SALT_BYTES = 8
_KEY_BYTES = 32
_IV_BYTES = 16

# What an archive can begin with once it is deciphered, and where.
_BEGINNINGS = (
    (0, b"\x1f\x8b\x08"),
    (0, b"BZh"),
    (0, b"\xfd7zXZ\x00"),
    (0, b"\x28\xb5\x2f\xfd"),
    (257, b"ustar"),
)
_BEGINNING_BYTES = 512


class LegacyCipher:
    """Writes with the key derivation of OpenSSL 1.1 and later, reads that of earlier ones too.

    Which of the two a stream needs is told by its beginning: a compressed or plain tar archive.
    """

    def __init__(self, pass_phrase: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self._pass_phrase = pass_phrase
        self._random_bytes = random_bytes

    def forward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Encipher with a fresh salt, which goes in front."""
        salt = self._random_bytes(_SALT_BYTES)
        yield _MARK + salt
        context = self._cipher(salt, "sha256").encryptor()
        for chunk in chunks:
            yield context.update(chunk)
        yield context.finalize()

    def backward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Decipher; WrongKey if no archive comes out, Damaged if nothing was enciphered."""
        stream = iter(chunks)
        start = _gathered(stream, len(_MARK) + _SALT_BYTES + _BEGINNING_BYTES)
        if not start.startswith(_MARK) or len(start) <= len(_MARK) + _SALT_BYTES:
            raise Damaged(
                "the backup is marked as encrypted, but what is stored is not (or is cut): "
                "restore from another copy or date"
            )
        salt = start[len(_MARK) :][:_SALT_BYTES]
        context = self._matching_context(salt, start[len(_MARK) + _SALT_BYTES :])
        yield context.update(start[len(_MARK) + _SALT_BYTES :])
        for chunk in stream:
            yield context.update(chunk)
        yield context.finalize()

    def _matching_context(self, salt: bytes, enciphered: bytes) -> CipherContext:
        for digest in ("sha256", "md5"):
            cipher = self._cipher(salt, digest)
            if _is_beginning(cipher.decryptor().update(enciphered)):
                return cipher.decryptor()
        raise WrongKey(
            "the pass phrase does not open this backup: give the file that was used when it was "
            "made with --encrypt-pass-file"
        )

    def _cipher(self, salt: bytes, digest: str) -> "Cipher[CFB]":
        material = _derived(self._pass_phrase, salt, digest)
        key, iv = material[:_KEY_BYTES], material[_KEY_BYTES:]
        return Cipher(algorithms.AES256(key), CFB(iv))


def _derived(pass_phrase: bytes, salt: bytes, digest: str) -> bytes:
    """Key and IV as EVP_BytesToKey makes them in one iteration."""
    material = block = b""
    while len(material) < _KEY_BYTES + _IV_BYTES:
        block = hashlib.new(digest, block + pass_phrase + salt, usedforsecurity=False).digest()
        material += block
    return material[: _KEY_BYTES + _IV_BYTES]


def _is_beginning(plain: bytes) -> bool:
    return any(plain[at:].startswith(magic) for at, magic in _BEGINNINGS)


def _gathered(stream: Iterator[bytes], size_bytes: int) -> bytes:
    """At least that many bytes of the stream, if it has them."""
    gathered = b""
    for chunk in stream:
        gathered += chunk
        if len(gathered) >= size_bytes:
            break
    return gathered
