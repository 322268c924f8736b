"""Compressors as stages: gzip, bzip2, xz and zstd. No compression is an empty pipeline.

What they write is read by the tools of the same names and by `tar -z`, `-j`, `-J` and `--zstd`;
what those write, of several members too, is read here. All work is done by C libraries that
release the interpreter's lock. Gzip and zstd compress the stream as it comes; bzip2 and xz are slow
enough to be worth both cores, and get them by compressing blocks on their own, each a complete
stream of the format.

A codec is imported when its stage starts to work: the agent starts quickly, and a run pays for the
one it uses.
"""

# ruff: noqa: PLC0415 - the reason stands above

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, cast

from freezer_agent.errors import Damaged
from freezer_agent.pipeline.streams import rechunk

if TYPE_CHECKING:
    from concurrent.futures import Future

# Whatever a few hostile bytes expand to, it comes out in pieces of this size.
_OUTPUT_BYTES = 1 << 20

_BZIP2_BLOCK_BYTES = 4 * 900_000
# An eighth of what the library takes for itself. Jobs of 4 MiB took 40 MiB more memory, as much as
# a storage with segments does, and made the result 0.9 % smaller; the speed is the same.
_ZSTD_JOB_BYTES = 1 << 20
_XZ_BLOCK_BYTES = 4 << 20
# Preset 6 as it is needs 94 MiB for each encoder. With this dictionary it needs 24 MiB, so two of
# them fit beside the rest in 128 MiB; on 16 MB of programs the result grew by 1 %.
_XZ_DICTIONARY_BYTES = 2 << 20
_XZ_DECODER_BYTES = 96 << 20
_GZIP_CONTAINER = 16 + 15


class Gzip:
    """Gzip through ISA-L: about ten times as fast as `gzip -6`, for a tenth more bytes."""

    def __init__(self, level: int = 2) -> None:
        self._level = level

    def forward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Compress into one gzip member."""
        from isal import isal_zlib

        return _compressed(
            chunks, lambda: isal_zlib.compressobj(self._level, wbits=_GZIP_CONTAINER)
        )

    def backward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Expand every member; Damaged if one is cut, altered or followed by something else."""
        from isal import igzip_lib

        # The library's type information has an instance where the class is.
        error = cast("type[Exception]", igzip_lib.IsalError)
        return _expanded(
            chunks,
            lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
            "gzip",
            (error,),
        )


class Zstd:
    """Zstandard with its own worker threads and a checksum in each frame."""

    def __init__(self, level: int = 3, workers: int = 2) -> None:
        self._level = level
        self._workers = workers

    def forward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Compress into one frame."""
        from backports import zstd

        options: dict[int, int] = {
            zstd.CompressionParameter.compression_level: self._level,
            zstd.CompressionParameter.nb_workers: self._workers,
            zstd.CompressionParameter.job_size: _ZSTD_JOB_BYTES,
            zstd.CompressionParameter.checksum_flag: 1,
        }
        return _compressed(chunks, lambda: zstd.ZstdCompressor(options=options))

    def backward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Expand every frame; Damaged if one is cut, altered or followed by something else."""
        from backports import zstd

        return _expanded(chunks, zstd.ZstdDecompressor, "zstd", (zstd.ZstdError,))


class Bzip2:
    """Bzip2 in independent streams of four of its blocks, `workers` at a time."""

    def __init__(self, workers: int = 2) -> None:
        self._workers = workers

    def forward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Compress into a row of complete streams."""
        import bz2

        return _compressed_blocks(chunks, bz2.compress, _BZIP2_BLOCK_BYTES, self._workers)

    def backward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Expand every stream; Damaged if one is cut, altered or followed by something else."""
        import bz2

        return _expanded(chunks, bz2.BZ2Decompressor, "bzip2", (OSError, ValueError))


class Xz:
    """Xz in independent streams, `workers` at a time, with a dictionary that fits in memory."""

    def __init__(self, workers: int = 2) -> None:
        self._workers = workers

    def forward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Compress into a row of complete streams."""
        import lzma

        filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": _XZ_DICTIONARY_BYTES}]
        compress = functools.partial(
            lzma.compress, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, filters=filters
        )
        return _compressed_blocks(chunks, compress, _XZ_BLOCK_BYTES, self._workers)

    def backward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Expand every stream; Damaged if one is cut, altered or followed by something else."""
        import lzma

        return _expanded(
            chunks,
            lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_DECODER_BYTES),
            "xz",
            (lzma.LZMAError,),
        )


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _compressed(chunks: Iterable[bytes], new: Callable[[], _Compressor]) -> Iterator[bytes]:
    compressor = new()
    for chunk in chunks:
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush()


def _compressed_blocks(
    chunks: Iterable[bytes], compress: Callable[[bytes], bytes], block_bytes: int, workers: int
) -> Iterator[bytes]:
    """Each block compressed on its own, in order; one block more than workers is in memory."""
    from concurrent.futures import ThreadPoolExecutor

    blocks = rechunk(chunks, block_bytes)
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(workers, "compress") as pool:
        try:
            # A stream of nothing is still a stream of the format.
            waiting.append(pool.submit(compress, next(blocks, b"")))
            for block in blocks:
                waiting.append(pool.submit(compress, block))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _expanded(
    chunks: Iterable[bytes],
    new: Callable[[], _Decompressor],
    name: str,
    errors: tuple[type[Exception], ...],
) -> Iterator[bytes]:
    member: _Decompressor | None = None
    members = 0
    for chunk in chunks:
        data = chunk
        while data or (member is not None and not member.needs_input):
            if member is None:
                member = new()
                members += 1
            try:
                expanded = member.decompress(data, _OUTPUT_BYTES)
            except errors as error:
                raise Damaged(_altered(name, members, error)) from error
            if expanded:
                yield expanded
            data = b""
            if member.eof:
                data = member.unused_data
                member = None
    if member is not None or members == 0:
        raise Damaged(
            f"the {name} stream ends early: a part of the backup is missing; "
            "restore from another copy or date"
        )


def _altered(name: str, members: int, error: Exception) -> str:
    place = f"after {members - 1} complete parts" if members > 1 else "in its first part"
    return (
        f"the {name} stream is not what was written ({place}: {error}); "
        "restore from another copy or date"
    )
