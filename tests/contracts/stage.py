"""What every stage of a pipeline promises, as tests. A stage binds them with `stage`."""

import hashlib
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freezer_agent.errors import StreamError
from freezer_agent.pipeline.chain import Stage

# Hypothesis is told so because each example makes its own streams of the one stage.
STAGE_SETTINGS = settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that no compressor makes smaller, the same for the same seed."""
    return hashlib.shake_128(b"%d" % seed).digest(size_bytes)


payloads = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda piece, times: piece * times, st.binary(max_size=40), st.integers(0, 5000)),
    st.integers(0, 200_000).map(noise),
)


class Broke(Exception):
    """The stream that a stage pulls from failed."""


def cut(content: bytes, borders: Iterable[int]) -> list[bytes]:
    """The content in chunks that end at the borders; some may be empty."""
    ends = sorted(border % (len(content) + 1) for border in borders)
    starts = [0, *ends]
    return [content[a:b] for a, b in zip(starts, [*ends, len(content)], strict=True)]


def broken(chunks: Iterable[bytes], error: Exception) -> Iterator[bytes]:
    yield from chunks
    raise error


class StageContract:
    """The promises of `freezer_agent.pipeline.chain.Stage`."""

    notices_flipped_bits = True
    """False for a stage without any checksum."""

    can_follow_itself = True
    """Whether two streams in a row are one stream."""

    def wrap(self, payload: bytes) -> bytes:
        """What the stage is given in place of `payload`, for one that asks for a form."""
        return payload

    def stored(self, stage: Stage, payload: bytes) -> bytes:
        return b"".join(stage.forward([self.wrap(payload)]))

    @STAGE_SETTINGS
    @given(
        payload=payloads,
        borders=st.lists(st.integers(0, 10**6), max_size=8),
        more_borders=st.lists(st.integers(0, 10**6), max_size=8),
    )
    def test_backward_undoes_forward_for_every_chunking(
        self, stage: Stage, payload: bytes, borders: list[int], more_borders: list[int]
    ) -> None:
        content = self.wrap(payload)
        stored = b"".join(stage.forward(cut(content, borders)))
        assert b"".join(stage.backward(cut(stored, more_borders))) == content

    def test_single_bytes_are_chunks_too(self, stage: Stage) -> None:
        content = self.wrap(b"some text, some text")
        stored = b"".join(stage.forward(content[i : i + 1] for i in range(len(content))))
        assert b"".join(stage.backward(stored[i : i + 1] for i in range(len(stored)))) == content

    def test_a_large_stream_comes_back(self, stage: Stage) -> None:
        pieces = [noise(300_000), b"same " * 60_000, bytes(700_000)] * 9
        content = self.wrap(b"".join(pieces))
        stored = list(stage.forward(cut(content, range(0, len(content), 777_777))))
        assert b"".join(stage.backward(stored)) == content

    def test_an_empty_stream_is_no_stored_stream(self, stage: Stage) -> None:
        with pytest.raises(StreamError):
            list(stage.backward([]))
        with pytest.raises(StreamError):
            list(stage.backward([b"", b""]))

    def test_other_bytes_are_refused(self, stage: Stage) -> None:
        for rubbish in (b"rubbish, nothing but rubbish " * 40, bytes(3000), b"\xff"):
            with pytest.raises(StreamError):
                list(stage.backward([rubbish]))

    @STAGE_SETTINGS
    @given(payload=payloads, where=st.floats(0, 1, exclude_max=True))
    def test_a_cut_stream_is_noticed(self, stage: Stage, payload: bytes, where: float) -> None:
        if not self.notices_flipped_bits:
            pytest.skip("this stage has no end mark; what follows it has")
        stored = self.stored(stage, payload)
        with pytest.raises(StreamError):
            list(stage.backward([stored[: int(where * len(stored))]]))

    @STAGE_SETTINGS
    @given(payload=payloads, garbage=st.binary(min_size=1, max_size=600))
    def test_garbage_behind_the_end_is_noticed(
        self, stage: Stage, payload: bytes, garbage: bytes
    ) -> None:
        if not self.notices_flipped_bits:
            pytest.skip("this stage has no end mark; what follows it has")
        with pytest.raises(StreamError):
            list(stage.backward([self.stored(stage, payload), garbage]))

    @STAGE_SETTINGS
    @given(payload=payloads, where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def test_a_flipped_bit_never_gives_wrong_bytes(
        self, stage: Stage, payload: bytes, where: float, bit: int
    ) -> None:
        if not self.notices_flipped_bits:
            pytest.skip("this stage has no checksum; what follows it has")
        stored = bytearray(self.stored(stage, payload))
        stored[int(where * len(stored))] ^= 1 << bit
        try:
            result = b"".join(stage.backward([bytes(stored)]))
        except StreamError:
            return
        # Some bits of a header (a time, a system) mean nothing to the content.
        assert result == self.wrap(payload)

    def test_streams_in_a_row_are_read(self, stage: Stage) -> None:
        if not self.can_follow_itself:
            pytest.skip("this format has one stream only")
        stored = (
            self.stored(stage, b"first ") + self.stored(stage, b"") + self.stored(stage, b"2nd")
        )
        assert b"".join(stage.backward(cut(stored, [3, 20, 31, 40]))) == b"first 2nd"

    def test_errors_of_the_source_pass_unchanged(self, stage: Stage) -> None:
        error = Broke("source")
        stored = self.stored(stage, b"x" * 10_000)
        for stream in (
            stage.forward(broken([b"x" * 10_000], error)),
            stage.backward(broken([stored[:20], stored[20:40]], error)),
        ):
            with pytest.raises(Broke) as raised:
                list(stream)
            assert raised.value is error

    def test_nothing_is_pulled_before_it_is_asked_for(self, stage: Stage) -> None:
        stage.forward(broken([], Broke()))
        stage.backward(broken([], Broke()))

    def test_memory_does_not_grow_with_the_stream(self, stage: Stage) -> None:
        def zeros(chunks: int) -> Iterator[bytes]:
            yield self.wrap(b"")
            for _ in range(chunks):
                yield bytes(1 << 20)

        if self.wrap(b""):
            pytest.skip("the form that this stage asks for does not go on for ever")
        tracemalloc.start()
        try:
            size = sum(map(len, stage.backward(stage.forward(zeros(96)))))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size == 96 << 20
        assert peak < 72 << 20
