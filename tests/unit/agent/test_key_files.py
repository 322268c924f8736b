import base64
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from freezer_agent.errors import RequestInvalid
from freezer_agent.pipeline.keys import read_private_key, read_recipient
from freezer_agent.pipeline.sealing import Cipher, faster_cipher
from freezer_agent.pipeline.state_keys import StateKeys

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))


def private_pem(key: X25519PrivateKey | Ed25519PrivateKey, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def public(key: X25519PublicKey, encoding: Encoding) -> bytes:
    return key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def written(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_private_key_is_read(tmp_path: Path) -> None:
    key = read_private_key(written(tmp_path / "key", private_pem(KEY)))
    assert key.private_bytes_raw() == bytes(range(32))


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (private_pem(KEY), 0o644, "chmod 600"),
        (private_pem(KEY, b"password"), 0o600, "without a password"),
        (private_pem(Ed25519PrivateKey.generate()), 0o600, "none for X25519"),
        (b"", 0o600, "no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n", 0o600, "no private"),
    ],
)
def test_what_is_no_private_key_for_us_is_refused_without_quoting_it(
    tmp_path: Path, content: bytes, mode: int, told: str
) -> None:
    with pytest.raises(RequestInvalid, match=told) as raised:
        read_private_key(written(tmp_path / "key", content, mode))
    lines = [line for line in content.decode().splitlines() if line and "-----" not in line]
    assert not [line for line in lines if line in str(raised.value)]
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_missing_private_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match="cannot be read"):
        read_private_key(tmp_path / "missing")


def test_a_recipient_is_a_file_or_the_key_itself(tmp_path: Path) -> None:
    file = written(tmp_path / "pub", public(KEY.public_key(), Encoding.PEM))
    text = base64.b64encode(public(KEY.public_key(), Encoding.DER)).decode()
    assert text in file.read_text()
    for given in (str(file), text):
        assert read_recipient(given).public_bytes_raw() == KEY.public_key().public_bytes_raw()


def test_what_is_no_recipient_is_refused(tmp_path: Path) -> None:
    other = written(
        tmp_path / "other",
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )
    private = written(tmp_path / "private", private_pem(KEY))
    anybody = public(X25519PublicKey.from_public_bytes(bytes(32)), Encoding.DER)
    for given in (str(other), str(private), "x", "AAAA", base64.b64encode(anybody).decode()):
        with pytest.raises(RequestInvalid, match="the recipient"):
            read_recipient(given)


@pytest.mark.parametrize(
    ("facts", "cipher"),
    [
        ("flags\t\t: fpu aes avx\n", Cipher.AES_256_GCM),
        ("Features\t: fp asimd aes pmull\n", Cipher.AES_256_GCM),
        ("flags\t\t: fpu vaesx\n", Cipher.CHACHA20_POLY1305),
        ("", Cipher.CHACHA20_POLY1305),
    ],
)
def test_the_cipher_is_that_of_the_processor(tmp_path: Path, facts: str, cipher: Cipher) -> None:
    (tmp_path / "cpuinfo").write_text(facts)
    assert faster_cipher(tmp_path / "cpuinfo") is cipher
    assert faster_cipher(tmp_path / "missing") is Cipher.CHACHA20_POLY1305


class TestStateKeys:
    def test_a_key_is_found_by_its_id_and_nobody_else_may_read_it(self, tmp_path: Path) -> None:
        keys = StateKeys(tmp_path / "kept", lambda size: bytes(range(size)))
        identity = keys.keep(b"k" * 32)
        assert keys.find(identity) == b"k" * 32
        assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
        (file,) = (tmp_path / "kept").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600

    def test_a_hostile_id_leads_nowhere(self, tmp_path: Path) -> None:
        keys = StateKeys(tmp_path / "kept", bytes)
        identity = keys.keep(b"k" * 32)
        for hostile in (f"../kept/{identity}", "/etc/passwd", "", identity.upper() + "x", "\n"):
            assert keys.find(hostile) is None

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 5}', b'{"key": "AAAA"}'])
    def test_a_file_that_is_no_key_counts_as_lost(self, tmp_path: Path, content: bytes) -> None:
        keys = StateKeys(tmp_path, bytes)
        (tmp_path / keys.keep(b"k" * 32)).write_bytes(content)
        assert keys.find("00" * 16) is None

    def test_the_ones_unused_longest_give_way(self, tmp_path: Path) -> None:
        numbers = iter(range(10_000))
        keys = StateKeys(tmp_path, lambda size: next(numbers).to_bytes(size, "big"), most_keys=3)
        first, second, third = (keys.keep(bytes([n] * 32)) for n in range(3))
        for age, identity in enumerate((third, second)):
            os.utime(tmp_path / identity, (age, age))
        assert keys.find(first)
        keys.keep(b"n" * 32)
        assert keys.find(third) is None
        assert keys.find(second)
        assert keys.find(first)
