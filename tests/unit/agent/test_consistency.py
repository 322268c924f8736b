"""The checksum of a tree."""

import os
import shutil
from pathlib import Path

import pytest

from freezer_agent.consistency import tree_checksum
from freezer_agent.requests import Dereference
from tests.fakes.trees import make_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make_tree(tmp_path / "tree")
    return tmp_path / "tree"


def test_a_copy_has_the_same_checksum(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "copy", symlinks=True, ignore=_special)
    for folder, _, names in os.walk(tree):
        for name in _special(folder, names):
            (Path(folder) / name).unlink()
    assert tree_checksum(tree) == tree_checksum(tmp_path / "copy")


def _special(folder: str, names: list[str]) -> list[str]:
    paths = [Path(folder) / name for name in names]
    plain = [path for path in paths if path.is_symlink() or path.is_file() or path.is_dir()]
    return [path.name for path in paths if path not in plain]


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "plain" / "same").write_bytes(b"other"),
        lambda tree: (tree / "plain" / "mode").chmod(0o600),
        lambda tree: (tree / "new").touch(),
        lambda tree: (tree / "empty").unlink(),
        lambda tree: (tree / "empty").rename(tree / "empty2"),
        lambda tree: ((tree / "dangling").unlink(), (tree / "dangling").symlink_to("else")),
        lambda tree: (tree / "empty directory").rmdir(),
    ],
)
def test_every_change_shows(tree: Path, change) -> None:  # noqa: ANN001 - a lambda
    before = tree_checksum(tree)
    change(tree)
    assert tree_checksum(tree) != before


def test_a_single_file_counts_like_a_directory_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("x")
    assert tree_checksum(folder / "file") == tree_checksum(folder)


@pytest.mark.parametrize("pattern", ["*.log", "sub/*.log", "./sub/a.log", "a.log"])
def test_what_is_excluded_does_not_count(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").touch()
    before = tree_checksum(tmp_path)
    (tmp_path / "sub" / "a.log").write_text("x")
    assert tree_checksum(tmp_path) != before
    assert tree_checksum(tmp_path, excludes=[pattern]) == before


def test_followed_links_count_as_what_they_name(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "file").symlink_to(tmp_path / "outside")
    (tmp_path / "two" / "file").write_text("x")
    follow = tree_checksum(tmp_path / "one", dereference=Dereference.SOFT)
    assert follow == tree_checksum(tmp_path / "two")
    assert tree_checksum(tmp_path / "one") != follow
