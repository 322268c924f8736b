"""What is the local storage's own: files, permissions, full and read-only disks, crashes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from freezer_agent.errors import (
    AccessRefused,
    ObjectNotFound,
    StorageFull,
    StorageUnavailable,
)
from freezer_agent.storages.local import Local

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "mounted"
    path.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", path]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("may not mount here")
    yield path
    subprocess.run(["umount", path], check=True)


def test_files_and_directories_are_for_their_owner_alone(tmp_path: Path) -> None:
    storage = Local(tmp_path / "root")
    storage.write("a/b/c", [b"x"])
    storage.create("a/lock", b"x")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"root": 0o700, "a": 0o700, "b": 0o700, "c": 0o600, "lock": 0o600}


def test_delete_removes_directories_that_are_empty_then(tmp_path: Path) -> None:
    storage = Local(tmp_path / "root")
    storage.write("a/b/c/d", [b"x"])
    storage.write("a/e", [b"x"])
    storage.delete("a/b/c/d")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "e", "root"]
    storage.delete("a/e")
    assert list(tmp_path.iterdir()) == [tmp_path / "root"]


def test_other_things_than_files_are_no_objects(tmp_path: Path) -> None:
    storage = Local(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    assert list(storage.list("")) == []
    with pytest.raises(ObjectNotFound):
        list(storage.read("fifo"))


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    storage = Local(tmp_path)
    storage.write("a", [bytes(3 << 20)])
    chunks = storage.read("a")
    next(chunks)
    os.truncate(tmp_path / "a", 1 << 20)
    with pytest.raises(StorageUnavailable, match="shorter"):
        list(chunks)


def test_a_temporary_file_has_no_key(tmp_path: Path) -> None:
    with pytest.raises(AccessRefused, match="temporary"):
        Local(tmp_path).write("a/.freezer-incomplete-1", [b"x"])


@as_root
def test_a_full_disk_leaves_what_was_there(mounted: Path) -> None:
    storage = Local(mounted)
    storage.write("earlier/data", [b"x" * 400_000])
    with pytest.raises(StorageFull, match="No space left on device; make room"):
        storage.write("new/data", [bytes(100_000)] * 20)
    assert [(s.key, s.size_bytes) for s in storage.list("")] == [("earlier/data", 400_000)]
    with pytest.raises(StorageFull):
        storage.write("earlier/data", [bytes(100_000)] * 20)
    assert b"".join(storage.read("earlier/data")) == b"x" * 400_000
    storage.write("fits", [bytes(400_000)])


@as_root
def test_a_full_disk_refuses_to_create(mounted: Path) -> None:
    storage = Local(mounted)
    with pytest.raises(StorageFull):
        storage.create("lock", bytes(2_000_000))
    assert list(storage.list("")) == []


@as_root
def test_a_read_only_disk_is_told_as_such(mounted: Path) -> None:
    storage = Local(mounted)
    storage.write("a/b", [b"x"])
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    with pytest.raises(AccessRefused, match="Read-only file system"):
        storage.write("a/c", [b"x"])
    with pytest.raises(AccessRefused, match="Read-only file system"):
        storage.write("new/c", [b"x"])
    with pytest.raises(AccessRefused, match="Read-only file system"):
        storage.delete("a/b")
    assert b"".join(storage.read("a/b")) == b"x"


def test_a_root_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AccessRefused):
        Local(tmp_path / "file").write("a", [b"x"])


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from freezer_agent.storages.local import Local

def chunks():
    yield b"half of it"
    print("writing", flush=True)
    signal.pause()

Local(Path(sys.argv[1])).write("a/b/data", chunks())
"""


def test_a_killed_writer_leaves_nothing_to_see_and_little_to_clean(tmp_path: Path) -> None:
    storage = Local(tmp_path)
    storage.write("a/kept", [b"kept"])
    argv = [sys.executable, "-c", KILLED_WRITER, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        assert storage.remove_leftovers() == []
        assert [stored.key for stored in storage.list("")] == ["a/kept"]
        writer.send_signal(signal.SIGKILL)
    assert [stored.key for stored in storage.list("")] == ["a/kept"]
    removed = storage.remove_leftovers()
    assert [path.parent for path in removed] == [tmp_path / "a" / "b"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "kept"]
