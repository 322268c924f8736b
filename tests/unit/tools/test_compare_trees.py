"""The comparison that the demo trusts: it must notice everything."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[3] / "tools/compare_trees.py"


@pytest.fixture(scope="module")
def compare_trees() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_trees", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal trees."""
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "folder").mkdir(parents=True)
    (one / "folder/file").write_text("content")
    (one / "second name").hardlink_to(one / "folder/file")
    (one / "link").symlink_to("folder/file")
    os.mkfifo(one / "pipe")
    Path(os.fsdecode(os.fsencode(one) + b"/odd\xff\n")).write_text("odd")
    subprocess.run(["cp", "-a", one, other], check=True)
    return one, other


def found(module: ModuleType, one: Path, other: Path) -> list[str]:
    return list(module.differences(module.describe(one), module.describe(other)))


def test_a_copy_is_the_same(compare_trees: ModuleType, trees: tuple[Path, Path]) -> None:
    assert found(compare_trees, *trees) == []


def unlink_and_copy(tree: Path) -> None:
    shutil.copy2(tree / "folder/file", tree / "copy")
    (tree / "copy").replace(tree / "second name")


def replace_link(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("elsewhere")


def touch_content(tree: Path) -> None:
    before = (tree / "folder/file").stat()
    (tree / "folder/file").write_text("CONTENT")
    os.utime(tree / "folder/file", ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "sha256": touch_content,
    "mode": lambda tree: (tree / "folder").chmod(0o701),
    "modified": lambda tree: os.utime(tree / "folder/file", ns=(0, 1)),
    "missing": lambda tree: (tree / "pipe").unlink(),
    "should not be there": lambda tree: (tree / "folder/more").write_text(""),
    "hard link": unlink_and_copy,
    "link to": replace_link,
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_found(compare_trees: ModuleType, trees: tuple[Path, Path], what: str) -> None:
    CHANGES[what](trees[1])
    assert any(what in line for line in found(compare_trees, *trees))


def test_an_extended_attribute_is_compared(
    compare_trees: ModuleType, trees: tuple[Path, Path]
) -> None:
    try:
        os.setxattr(trees[1] / "folder/file", "user.freezer", b"1")
    except OSError:
        pytest.skip("the file system of the temporary folder has no extended attributes")
    assert any("user.freezer" in line for line in found(compare_trees, *trees))


def test_a_socket_is_left_out(
    compare_trees: ModuleType, trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trees[0])
    before = trees[0].stat()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a socket")
    os.utime(trees[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found(compare_trees, *trees) == []


def test_a_tree_is_compared_with_what_was_written_down(
    trees: tuple[Path, Path], tmp_path: Path
) -> None:
    then = tmp_path / "then.json"

    def run(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False
        )

    assert run("--write", then, trees[0]).returncode == 0
    assert "." in json.loads(then.read_text())
    assert run(then, trees[1]).returncode == 0
    (trees[1] / "folder/file").unlink()
    changed = run(then, trees[1])
    assert changed.returncode == 1
    assert "'folder/file' is missing" in changed.stdout
