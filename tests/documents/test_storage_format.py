"""The vectors of the manual, read by a reader that was written from the manual alone.

It shares no line with the agent: HKDF is made of HMAC here, ciphers come from the library.
"""

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from freezer_agent.pipeline.coding import Purpose
from freezer_agent.pipeline.keys import Keys
from freezer_agent.pipeline.sealed_coding import open_metadata, purpose_key
from freezer_agent.pipeline.sealing import Cipher, Seal

MANUAL = (Path(__file__).parents[2] / "doc/source/storage-format.rst").read_text()
VECTORS = dict(re.findall(r"(?m)^   ([\w -]+): (.+)$", MANUAL.split("\nVectors\n")[1]))
PLACE = VECTORS["place"]
METADATA: dict[str, Any] = json.loads(VECTORS["metadata"])


def vector(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name])


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    drawn = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
    return hmac.new(drawn, info + b"\x01", hashlib.sha256).digest()


def key_of(purpose: str, data_key: bytes) -> bytes:
    return hkdf(data_key, b"", f"freezer-seal-1 {purpose}\0{PLACE}".encode())


def opened(sealed: bytes, key: bytes) -> bytes:
    header, rest = sealed[:48], sealed[48:]
    object_key = hkdf(key, header[16:], header)
    cipher = {1: AESGCM, 2: ChaCha20Poly1305}[header[8]](object_key)
    size = (1 << header[9]) + 16
    frames = [rest[start : start + size] for start in range(0, len(rest), size)]
    return b"".join(
        cipher.decrypt(number.to_bytes(11, "big") + bytes([frame is frames[-1]]), frame, None)
        for number, frame in enumerate(frames)
    )


def unwrapped(slot: dict[str, Any], wrapping_key: bytes) -> bytes:
    bound = f"freezer-seal-1 {slot['type']}\0{PLACE}".encode()
    return AESGCM(wrapping_key).decrypt(bytes(12), base64.b64decode(slot["wrapped_key"]), bound)


def test_the_pass_phrase_opens_its_slot() -> None:
    (slot,) = (one for one in METADATA["key_slots"] if one["type"] == "scrypt")
    key = hashlib.scrypt(
        VECTORS["pass_phrase"].encode(),
        salt=base64.b64decode(slot["salt"]),
        n=1 << slot["log_n"],
        r=slot["r"],
        p=slot["p"],
        maxmem=64 << 20,
        dklen=32,
    )
    assert unwrapped(slot, key) == vector("data_key")


def test_the_private_key_opens_its_slot() -> None:
    (slot,) = (one for one in METADATA["key_slots"] if one["type"] == "x25519")
    ephemeral, recipient = (base64.b64decode(slot[name]) for name in ("ephemeral", "recipient"))
    private = X25519PrivateKey.from_private_bytes(vector("private_key"))
    shared = private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    key = hkdf(shared, ephemeral + recipient, b"freezer-seal-1 x25519")
    assert unwrapped(slot, key) == vector("data_key")


@pytest.mark.parametrize("purpose", ["data", "engine_metadata", "index", "metadata"])
def test_the_keys_of_the_purposes_are_those_told(purpose: str) -> None:
    assert key_of(purpose, vector("data_key")) == vector(f"key of {purpose}")
    assert purpose_key(vector("data_key"), purpose, PLACE) == vector(f"key of {purpose}")


def test_tag_and_digest_of_the_metadata_are_right() -> None:
    rest = {key: value for key, value in METADATA.items() if key != "metadata_sha256"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    assert digest == METADATA["metadata_sha256"]
    del rest["metadata_tag"]
    content = json.dumps(rest, sort_keys=True).encode()
    tag = hmac.new(vector("key of metadata"), content, hashlib.sha256).hexdigest()
    assert tag == METADATA["metadata_tag"]


def test_the_objects_open() -> None:
    assert opened(vector("data"), vector("key of data")) == b"Hello, Freezer"
    index = b"".join(a_seal("index", Cipher.CHACHA20_POLY1305, 0xA0, 10).forward([bytes(1500)]))
    assert hashlib.sha256(index).digest() == vector("SHA-256 of index")
    assert index.endswith(vector("last tag of index"))
    assert opened(index, vector("key of index")) == bytes(1500)


def test_the_agent_reads_and_writes_them_too() -> None:
    private = X25519PrivateKey.from_private_bytes(vector("private_key"))
    for keys in (
        Keys(private_keys=(private,)),
        Keys(pass_phrases=(VECTORS["pass_phrase"].encode(),)),
    ):
        assert open_metadata(METADATA, PLACE, keys) == vector("data_key")
    seal = a_seal("data", Cipher.AES_256_GCM, 0x80, 18)
    assert b"".join(seal.forward([b"Hello, Freezer"])) == vector("data")
    assert b"".join(seal.backward([vector("data")])) == b"Hello, Freezer"


def test_every_purpose_of_the_agent_is_described() -> None:
    for purpose in Purpose:
        assert f"``{purpose}``" in MANUAL


def a_seal(purpose: str, cipher: Cipher, salt: int, bits: int) -> Seal:
    return Seal(
        key=vector(f"key of {purpose}"),
        cipher=cipher,
        random_bytes=lambda size: bytes(range(salt, salt + size)),
        what=purpose,
        frame_bits=bits,
    )
