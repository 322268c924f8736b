import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from freezer_agent.errors import Damaged, RequestInvalid, WrongKey
from freezer_agent.pipeline.chain import Pipeline, Stage
from freezer_agent.pipeline.compression import Bzip2, Gzip, Xz, Zstd
from freezer_agent.pipeline.keys import read_pass_phrase
from freezer_agent.pipeline.legacy_cipher import LegacyCipher
from tests.contracts.stage import StageContract

PASS_PHRASE = b"a pass phrase with blanks"
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


class TestLegacyCipher(StageContract):
    notices_flipped_bits = False
    can_follow_itself = False

    def wrap(self, payload: bytes) -> bytes:
        return gzip.compress(payload, 1)

    @pytest.fixture
    def stage(self) -> Stage:
        return LegacyCipher(PASS_PHRASE, os.urandom)


@pytest.fixture
def pass_file(tmp_path: Path) -> Path:
    path = tmp_path / "pass"
    path.write_bytes(PASS_PHRASE + b"\nsecond line\n")
    return path


def openssl(pass_file: Path, content: bytes, *options: str) -> bytes:
    argv = ["openssl", "enc", "-aes-256-cfb", "-pass", f"file:{pass_file}", *options]
    return subprocess.run(argv, input=content, capture_output=True, check=True).stdout


@needs_openssl
@pytest.mark.parametrize("digest", ["sha256", "md5"])
@pytest.mark.parametrize("stage", [Gzip(), Bzip2(), Xz(), Zstd()])
def test_reads_what_openssl_wrote(pass_file: Path, digest: str, stage: Stage) -> None:
    content = os.urandom(70_000)
    stored = openssl(pass_file, b"".join(stage.forward([content])), "-md", digest)
    cipher = LegacyCipher(read_pass_phrase(pass_file), os.urandom)
    assert b"".join(Pipeline([stage, cipher]).backward([stored[:9], stored[9:]])) == content


@needs_openssl
def test_reads_a_plain_archive(pass_file: Path, tmp_path: Path) -> None:
    archive = subprocess.run(
        ["tar", "-c", "-f", "-", "pass"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    cipher = LegacyCipher(read_pass_phrase(pass_file), os.urandom)
    assert b"".join(cipher.backward([openssl(pass_file, archive)])) == archive


@needs_openssl
def test_openssl_reads_what_it_wrote(pass_file: Path) -> None:
    content = os.urandom(100_001)
    cipher = LegacyCipher(read_pass_phrase(pass_file), os.urandom)
    stored = b"".join(cipher.forward([content[:5], content[5:]]))
    assert openssl(pass_file, stored, "-d") == content


def test_every_stream_has_its_own_salt() -> None:
    cipher = LegacyCipher(PASS_PHRASE, os.urandom)
    assert b"".join(cipher.forward([b"x" * 50])) != b"".join(cipher.forward([b"x" * 50]))


def test_a_wrong_pass_phrase_is_told_as_such() -> None:
    stored = b"".join(LegacyCipher(PASS_PHRASE, os.urandom).forward([gzip.compress(b"x" * 900)]))
    with pytest.raises(WrongKey, match="--encrypt-pass-file"):
        list(LegacyCipher(b"another", os.urandom).backward([stored]))


def test_a_stream_that_is_not_encrypted_is_told_as_such() -> None:
    with pytest.raises(Damaged, match="marked as encrypted"):
        list(LegacyCipher(PASS_PHRASE, os.urandom).backward([gzip.compress(b"x")]))


def test_no_error_tells_the_pass_phrase() -> None:
    stored = b"".join(LegacyCipher(b"other", os.urandom).forward([b"x" * 900]))
    with pytest.raises(WrongKey) as raised:
        list(LegacyCipher(PASS_PHRASE, os.urandom).backward([stored]))
    assert PASS_PHRASE.decode() not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\nsecond\n"])
def test_an_empty_pass_phrase_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty"
    path.write_bytes(content)
    with pytest.raises(RequestInvalid, match="empty first line"):
        read_pass_phrase(path)


def test_a_missing_pass_phrase_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match="cannot be read"):
        read_pass_phrase(tmp_path / "missing")
