"""Compare two file trees down to modes, owners, times, links and extended attributes.

Each side is a folder, or a file that `--write` made of one earlier, so that a tree can be compared
with what it was before it changed. Prints one line for each difference and ends with 1 if there
is any; sockets are left out, since nothing can bring them back.
"""

import argparse
import base64
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

Entry = dict[str, object]

_SHOWN = 20
"""Differences that are printed; the rest is counted."""


def describe(root: Path) -> dict[str, Entry]:
    """Everything below `root`, itself included as ".": path -> what must come back."""
    tree: dict[str, Entry] = {}
    first_name: dict[tuple[int, int], str] = {}
    for name, path in _walk(root):
        found = path.lstat()
        if stat.S_ISSOCK(found.st_mode):
            continue
        entry = _describe_one(path, found)
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            entry["hard link with"] = first_name.setdefault((found.st_dev, found.st_ino), name)
        tree[name] = entry
    return tree


def differences(expected: Mapping[str, Entry], actual: Mapping[str, Entry]) -> Iterator[str]:
    """One sentence for each path or property that is not the same."""
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            yield f"{name!r} is missing"
        elif name not in expected:
            yield f"{name!r} should not be there"
        else:
            before, after = expected[name], actual[name]
            for what in sorted(before.keys() | after.keys()):
                if before.get(what) != after.get(what):
                    yield f"{name!r}: {what} was {before.get(what)}, is {after.get(what)}"


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Sorted, so that the first name of a hard link is the same on both sides."""
    yield ".", root
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(folder, name)
            yield _printable(str(path.relative_to(root))), path


def _printable(name: str) -> str:
    """The name with undecodable bytes escaped, as JSON has no other way to keep them."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _describe_one(path: Path, found: os.stat_result) -> Entry:
    entry: Entry = {
        "mode": oct(found.st_mode),
        "owner": f"{found.st_uid}:{found.st_gid}",
        "modified": found.st_mtime_ns,
    }
    if stat.S_ISREG(found.st_mode):
        entry["size"] = found.st_size
        with path.open("rb") as content:
            entry["sha256"] = hashlib.file_digest(content, "sha256").hexdigest()
    elif stat.S_ISLNK(found.st_mode):
        entry["link to"] = _printable(str(path.readlink()))
    elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        entry["device"] = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    for attribute in sorted(os.listxattr(path, follow_symlinks=False)):
        value = os.getxattr(path, attribute, follow_symlinks=False)
        entry[f"attribute {attribute}"] = base64.b64encode(value).decode()
    return entry


def _load(side: Path) -> dict[str, Entry]:
    if side.is_dir():
        return describe(side)
    loaded: dict[str, Entry] = json.loads(side.read_text())
    return loaded


def main() -> int:
    """Compare, or with --write remember, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("expected", type=Path, help="a folder, or a file made by --write")
    parser.add_argument("actual", type=Path, nargs="?", help="the other one")
    parser.add_argument("--write", type=Path, metavar="FILE", help="describe the folder into FILE")
    options = parser.parse_args()
    if options.write:
        options.write.write_text(json.dumps(describe(options.expected)))
        return 0
    if options.actual is None:
        parser.error("two sides are needed, or --write FILE")
    expected = _load(options.expected)
    found = list(differences(expected, _load(options.actual)))
    for line in found[:_SHOWN]:
        print(line)
    if found:
        print(f"{len(found)} differences in {len(expected)} entries")
        return 1
    print(f"the same: {len(expected)} entries with contents, modes, owners, times and links")
    return 0


if __name__ == "__main__":
    sys.exit(main())
