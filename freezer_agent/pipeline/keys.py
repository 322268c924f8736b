"""The keys of an operator: pass phrases, and X25519 keys in the files that openssl writes.

openssl genpkey -algorithm X25519 -out node.key
openssl pkey -in node.key -pubout -out node.pub
"""

import base64
import binascii
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from freezer_agent.errors import RequestInvalid

_LONGEST_PASS_PHRASE_BYTES = 1023
_LONGEST_KEY_FILE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What can open backups. Never printed."""

    pass_phrases: tuple[bytes, ...] = field(default=(), repr=False)
    private_keys: tuple[X25519PrivateKey, ...] = field(default=(), repr=False)


def read_pass_phrase(file: Path) -> bytes:
    """The pass phrase in a file as openssl takes it: the first line without its end."""
    try:
        with file.open("rb") as lines:
            line = lines.readline(_LONGEST_PASS_PHRASE_BYTES)
    except OSError as error:
        raise RequestInvalid(
            [f"the pass phrase file {file} cannot be read: {error.strerror}"]
        ) from error
    pass_phrase = line.rstrip(b"\n")
    if not pass_phrase:
        raise RequestInvalid([f"the pass phrase file {file} has an empty first line"])
    return pass_phrase


def is_open_to_others(file: Path) -> bool:
    """Whether every user of the machine may read or write the file."""
    try:
        return bool(file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False


def read_private_key(file: Path) -> X25519PrivateKey:
    """The key in a PEM file. RequestInvalid if it is none, or open to all users."""
    if is_open_to_others(file):
        raise RequestInvalid(
            [f"the key file {file} may be read by every user: chmod 600 it, or make a new key"]
        )
    try:
        key = load_pem_private_key(_content(file), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the library's reason: it may quote what it read.
        reason = (
            f"{file} is no private key (PEM, without a password): make one with "
            "openssl genpkey -algorithm X25519 -out FILE"
        )
        raise RequestInvalid([reason]) from None
    if not isinstance(key, X25519PrivateKey):
        raise RequestInvalid([f"the key in {file} is none for X25519"])
    return key


def read_recipient(text: str) -> X25519PublicKey:
    """A public key: the path of a PEM file, or the line of base64 that stands in one."""
    try:
        try:
            key = load_der_public_key(base64.b64decode(text, validate=True))
        except (ValueError, binascii.Error, UnsupportedAlgorithm):
            key = load_pem_public_key(_content(Path(text)))
    except (RequestInvalid, ValueError, UnsupportedAlgorithm):
        reason = (
            f"the recipient {text!r} is no public key and no file of one: give the PEM file that "
            "openssl pkey -in KEYFILE -pubout writes, or the line in the middle of it"
        )
        raise RequestInvalid([reason]) from None
    if not isinstance(key, X25519PublicKey):
        raise RequestInvalid([f"the recipient {text!r} is no key for X25519"])
    try:
        X25519PrivateKey.from_private_bytes(bytes(32)).exchange(key)
    except ValueError:
        raise RequestInvalid(
            [f"the recipient {text!r} is a key that everybody can open: make another"]
        ) from None
    return key


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as content:
            return content.read(_LONGEST_KEY_FILE_BYTES)
    except OSError as error:
        raise RequestInvalid([f"the key file {file} cannot be read: {error.strerror}"]) from error
