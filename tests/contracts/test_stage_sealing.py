import os

import pytest

from freezer_agent.errors import Damaged
from freezer_agent.pipeline.chain import Stage
from freezer_agent.pipeline.sealing import Cipher, Seal
from tests.contracts.stage import StageContract

KEY = bytes(range(32))
HEADER_BYTES, TAG_BYTES = 48, 16


def seal(cipher: Cipher = Cipher.AES_256_GCM, key: bytes = KEY, bits: int = 18) -> Seal:
    return Seal(key=key, cipher=cipher, random_bytes=os.urandom, what="it", frame_bits=bits)


class TestAesGcm(StageContract):
    can_follow_itself = False

    @pytest.fixture
    def stage(self) -> Stage:
        return seal()


class TestChaCha(StageContract):
    can_follow_itself = False

    @pytest.fixture
    def stage(self) -> Stage:
        return seal(Cipher.CHACHA20_POLY1305)


class TestSmallFrames(StageContract):
    can_follow_itself = False

    @pytest.fixture
    def stage(self) -> Stage:
        return seal(bits=10)


def sealed(payload: bytes, stage: Seal | None = None) -> bytes:
    return b"".join((stage or seal(bits=10)).forward([payload]))


def opened(content: bytes, stage: Seal | None = None) -> bytes:
    return b"".join((stage or seal(bits=10)).backward([content]))


def refused(content: bytes) -> str:
    """Why the content does not open; what came out before is a beginning of the truth."""
    with pytest.raises(Damaged) as raised:
        opened(content)
    return str(raised.value)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 2048, 3000])
@pytest.mark.parametrize("cipher", list(Cipher))
def test_any_flipped_byte_is_an_error(size: int, cipher: Cipher) -> None:
    stage, payload = seal(cipher, bits=10), os.urandom(size)
    content = sealed(payload, stage)
    assert opened(content, stage) == payload
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1 << (place % 8)
        with pytest.raises(Damaged):
            opened(bytes(altered), stage)


@pytest.mark.parametrize("size", [0, 1, 1024, 2048, 2049])
def test_a_cut_at_any_place_is_an_error(size: int) -> None:
    content = sealed(os.urandom(size))
    for end in range(len(content)):
        refused(content[:end])


def test_a_cut_at_a_frame_border_is_told_as_such() -> None:
    content = sealed(os.urandom(5 * 1024))
    for frames in (1, 2, 3, 4):
        end = HEADER_BYTES + frames * (1024 + TAG_BYTES)
        assert "ends early" in refused(content[:end])


def test_a_stream_that_goes_on_is_an_error() -> None:
    content = sealed(os.urandom(2048))
    for more in (b"\0", bytes(16), bytes(1040), content, content[HEADER_BYTES:]):
        refused(content + more)


def test_frames_in_another_order_are_an_error() -> None:
    content = sealed(os.urandom(4 * 1024))
    header, rest = content[:HEADER_BYTES], content[HEADER_BYTES:]
    size = 1024 + TAG_BYTES
    frames = [rest[i : i + size] for i in range(0, len(rest), size)]
    assert opened(header + b"".join(frames))
    for order in ([1, 0, 2, 3], [0, 1, 3, 2], [0, 2, 3], [0, 0, 1, 2, 3], [3], [0, 1, 2, 3, 3]):
        refused(header + b"".join(frames[i] for i in order))


def test_frames_of_another_object_are_an_error() -> None:
    payload = os.urandom(3 * 1024)
    one, two = sealed(payload), sealed(payload)
    assert one != two
    border = HEADER_BYTES + 1024 + TAG_BYTES
    refused(one[:border] + two[border:])
    refused(one[:HEADER_BYTES] + two[HEADER_BYTES:])


def test_another_key_opens_nothing() -> None:
    with pytest.raises(Damaged):
        opened(sealed(b"secret"), seal(key=bytes(32), bits=10))


def test_the_reader_takes_cipher_and_frames_from_the_header() -> None:
    content = sealed(b"x" * 5000, seal(Cipher.CHACHA20_POLY1305, bits=10))
    assert opened(content, seal(Cipher.AES_256_GCM, bits=20)) == b"x" * 5000


@pytest.mark.parametrize("bits", [0, 9, 25, 63, 255])
def test_a_hostile_frame_size_is_refused_at_once(bits: int) -> None:
    content = bytearray(sealed(b"x"))
    content[9] = bits
    assert "header" in refused(bytes(content))


def test_no_two_frames_share_key_and_nonce() -> None:
    """Equal plaintexts seal to different frames, within an object and over several."""
    content = [sealed(bytes(4 * 1024))[HEADER_BYTES:] for _ in range(3)]
    size = 1024 + TAG_BYTES
    frames = [one[i : i + size] for one in content for i in range(0, len(one), size)]
    assert len(set(frames)) == len(frames) == 12


def test_what_follows_a_bad_frame_is_never_passed_on() -> None:
    payload = os.urandom(4 * 1024)
    content = bytearray(sealed(payload))
    content[HEADER_BYTES + 2 * (1024 + TAG_BYTES) + 5] ^= 1
    got = []
    with pytest.raises(Damaged):
        got.extend(seal(bits=10).backward([bytes(content)]))
    assert b"".join(got) == payload[:2048]
