import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from freezer_agent.errors import Damaged
from freezer_agent.pipeline.chain import Pipeline, Stage
from freezer_agent.pipeline.compression import Bzip2, Gzip, Xz, Zstd
from tests.contracts.stage import StageContract, noise

STAGES = {"gzip": Gzip(), "bzip2": Bzip2(), "xz": Xz(), "zstd": Zstd()}


class TestGzip(StageContract):
    @pytest.fixture
    def stage(self) -> Stage:
        return Gzip()


class TestBzip2(StageContract):
    @pytest.fixture
    def stage(self) -> Stage:
        return Bzip2()


class TestXz(StageContract):
    @pytest.fixture
    def stage(self) -> Stage:
        return Xz()


class TestZstd(StageContract):
    @pytest.fixture
    def stage(self) -> Stage:
        return Zstd()


@pytest.fixture
def content() -> bytes:
    return b"".join(noise(40_000, seed) + bytes(400_000) for seed in range(25))


@pytest.mark.parametrize("word", STAGES)
def test_the_tool_of_that_name_reads_it(word: str, content: bytes) -> None:
    tool = shutil.which(word)
    if tool is None:
        pytest.skip(f"{word} is not installed")
    stored = b"".join(STAGES[word].forward([content]))
    expanded = subprocess.run([tool, "-dc"], input=stored, capture_output=True, check=True)
    assert expanded.stdout == content
    assert expanded.stderr == b""


@pytest.mark.parametrize("word", STAGES)
def test_it_reads_the_tool_of_that_name(word: str, content: bytes) -> None:
    tool = shutil.which(word)
    if tool is None:
        pytest.skip(f"{word} is not installed")
    stored = subprocess.run([tool, "-c"], input=content, capture_output=True, check=True).stdout
    assert b"".join(STAGES[word].backward([stored, stored])) == content * 2


@pytest.mark.parametrize(
    ("word", "option"), [("gzip", "-z"), ("bzip2", "-j"), ("xz", "-J"), ("zstd", "--zstd")]
)
def test_tar_extracts_it(word: str, option: str, tmp_path: Path) -> None:
    if shutil.which(word) is None:
        pytest.skip(f"{word} is not installed")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("name"), None)
    stored = b"".join(STAGES[word].forward([archive.getvalue()]))
    subprocess.run(
        ["tar", option, "-x", "-f", "-", "-C", tmp_path], input=stored, check=True, timeout=60
    )
    assert (tmp_path / "name").exists()


def test_a_pipeline_inverts_its_stages(content: bytes) -> None:
    pipeline = Pipeline([Gzip(), Zstd(), Bzip2()])
    stored = list(pipeline.forward([content]))
    assert b"".join(pipeline.backward(stored)) == content


def test_an_empty_pipeline_changes_nothing() -> None:
    assert list(Pipeline([]).forward([b"a", b"b"])) == [b"a", b"b"]
    assert list(Pipeline([]).backward([b"a", b"b"])) == [b"a", b"b"]


def test_the_error_tells_what_to_do() -> None:
    with pytest.raises(Damaged, match=r"ends early.*restore from another copy"):
        list(Gzip().backward([gzip.compress(b"x" * 100)[:-3]]))


def test_an_xz_stream_that_asks_for_too_much_memory_is_refused() -> None:
    greedy = lzma.compress(b"x" * 1000, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}])
    with pytest.raises(Damaged, match=r"[Mm]emory"):
        list(Xz().backward([greedy]))


def test_leaving_early_ends_the_workers() -> None:
    stream = Bzip2().forward(noise(1 << 20) for _ in range(40))
    assert next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator, which its type does not say
    assert not [thread for thread in threading.enumerate() if "compress" in thread.name]
