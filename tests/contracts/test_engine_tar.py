"""GNU tar: the contract, and what is its own: messages, options, hostile archives."""

import contextlib
import dataclasses
import functools
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from freezer_agent.engines.base import Engine, EngineState, SourceNotes
from freezer_agent.engines.tar import Dereference, TarEngine, find_gnu_tar
from freezer_agent.errors import Damaged, EngineError
from tests.contracts.engine import EngineContract, Levels
from tests.fakes.trees import change_tree, differences, make_tree, tree_state

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do that")


@pytest.fixture(scope="module")
def tar() -> Path:
    return find_gnu_tar()


class TestTar(EngineContract):
    @pytest.fixture
    def engine(self, tar: Path) -> Engine:
        return TarEngine(tar)


@pytest.fixture
def engine(tar: Path) -> TarEngine:
    return TarEngine(tar)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


def archived(engine: Engine, source: Path, state: EngineState) -> tuple[bytes, SourceNotes]:
    notes = SourceNotes()
    return b"".join(engine.backup(source, state, notes)), notes


def level_zero(engine: Engine, source: Path) -> tuple[bytes, SourceNotes]:
    return archived(engine, source, EngineState(previous=None, next=source.parent / "state"))


def names_in(archive: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {name.removeprefix("./") for name in tar.getnames()}


@contextlib.contextmanager
def keeping_inode_numbers(tree: Path) -> Iterator[None]:
    """While inside, no new directory gets the inode number of a removed one.

    A number that is used again makes tar record a move that never was, often one that cannot be
    followed. Open directories keep theirs.
    """
    with contextlib.ExitStack() as stack:
        for folder, _, _ in os.walk(tree):
            stack.callback(os.close, os.open(folder, os.O_RDONLY))
        yield


def fake_tar(folder: Path, script: str) -> Path:
    """A program in tar's place, for what the real one does only on a bad day."""
    program = folder / "fake-tar"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return program


class TestPlainTar:
    """What is written here is read by tar alone, and by the command line of 19.0.0."""

    OLD_RESTORE = ("--incremental", "--extract", "--ignore-zeros", "--warning=none", "--overwrite")

    def test_the_restore_command_of_19_0_0_extracts_it(
        self, tar: Path, engine: TarEngine, source: Path, target: Path, tmp_path: Path
    ) -> None:
        make_tree(source)
        levels = Levels(engine, source, tmp_path / "work")
        levels.backup()
        change_tree(source)
        levels.backup()
        for stream in levels.streams:
            argv = [tar, *self.OLD_RESTORE, "--directory", target]
            subprocess.run(argv, input=stream, check=True)
        # It asked for no attributes, and lost the set-uid bit of what it wrote over.
        before, after = (
            {
                name: dataclasses.replace(node, xattrs=(), mode=node.mode & ~0o7000)
                for name, node in tree_state(root).items()
                if not name.startswith(b"attributes")
            }
            for root in (source, target)
        )
        assert differences(before, after) == []

    def test_archives_of_19_0_0_are_extracted(
        self, tar: Path, engine: TarEngine, source: Path, target: Path, tmp_path: Path
    ) -> None:
        make_tree(source)
        argv = [tar, "--create", "--warning=none", "--no-check-device", "--one-file-system"]
        argv += ["--preserve-permissions", "--same-owner", "--seek", "--ignore-failed-read"]
        argv += [f"--listed-incremental={tmp_path / 'state'}", "."]
        for step in range(3):
            if step:
                with keeping_inode_numbers(source):
                    change_tree(source, step)
            old = subprocess.run(argv, cwd=source, check=True, capture_output=True).stdout
            engine.restore(target, [old], SourceNotes())
        plain = functools.partial(dataclasses.replace, xattrs=(), mtime_ns=None)
        before, after = (
            {
                name: plain(node)
                for name, node in tree_state(root).items()
                if not name.startswith(b"attributes")
            }
            for root in (source, target)
        )
        assert differences(before, after) == []

    def test_a_directory_that_19_0_0_saw_move_over_another_is_extracted(
        self, tar: Path, engine: TarEngine, source: Path, target: Path, tmp_path: Path
    ) -> None:
        argv = [tar, "--create", f"--listed-incremental={tmp_path / 'state'}", "."]
        for name in ("moves/inside", "old/deep/file", "was a file"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(name)
        (source / "also moves").mkdir()
        archives = [subprocess.run(argv, cwd=source, check=True, capture_output=True).stdout]
        with keeping_inode_numbers(source):
            shutil.rmtree(source / "old")
            (source / "moves").rename(source / "old")
            (source / "was a file").unlink()
            (source / "was a file").mkdir()
            (source / "also moves").rename(source / "was a file" / "moved")
        archives.append(subprocess.run(argv, cwd=source, check=True, capture_output=True).stdout)
        assert b"R./moves\0T./old" in archives[1]
        for archive in archives:
            engine.restore(target, [archive], SourceNotes())
        assert {*tree_state(source)} == {*tree_state(target)}

    def test_a_chain_of_19_0_0_is_continued(
        self, tar: Path, engine: TarEngine, source: Path, target: Path, tmp_path: Path
    ) -> None:
        (source / "same").write_text("same")
        (source / "moved").mkdir()
        (source / "moved" / "inside").write_text("inside")
        old_state = tmp_path / "old"
        argv = [tar, "--create", f"--listed-incremental={old_state}", "."]
        old = subprocess.run(argv, cwd=source, check=True, capture_output=True).stdout
        (source / "new").write_text("new")
        (source / "moved").rename(source / "elsewhere")
        new, notes = archived(
            engine, source, EngineState(previous=old_state, next=tmp_path / "next")
        )
        assert notes.files == 2
        for stream in (old, new):
            engine.restore(target, [stream], SourceNotes())
        assert (target / "elsewhere" / "inside").read_text() == "inside"
        assert sorted(path.name for path in target.iterdir()) == ["elsewhere", "new", "same"]


class TestReading:
    def test_a_file_that_changes_is_a_warning(self, engine: TarEngine, source: Path) -> None:
        for number in range(40):
            (source / f"{number:02}").write_bytes(os.urandom(400_000))
        notes = SourceNotes()
        state = EngineState(previous=None, next=source.parent / "state")
        for _ in engine.backup(source, state, notes):
            for path in source.iterdir():
                with path.open("ab") as file:
                    file.write(b"grown")
        assert notes.changed > 0
        assert notes.warnings == notes.changed
        assert any(name.endswith(": file changed as we read it") for name in notes.names)
        assert state.next.exists()

    def test_a_file_that_vanishes_is_a_warning(self, engine: TarEngine, source: Path) -> None:
        for number in range(40):
            (source / f"{number:02} \u00e4\n").write_bytes(os.urandom(400_000))
        notes = SourceNotes()
        state = EngineState(previous=None, next=source.parent / "state")
        chunks = filter(None, engine.backup(source, state, notes))
        for number, _ in enumerate(chunks):
            if number == 0:
                for path in sorted(source.iterdir())[20:]:
                    path.unlink()
        assert notes.vanished > 0
        assert any(name.startswith("./39 \u00e4\\n: ") for name in notes.names)

    @as_root
    def test_unreadable_files_are_counted(self, tar: Path, tmp_path: Path) -> None:
        source = tmp_path / "source"
        for name in ("readable", "secret", "closed/inside"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(name)
        (source / "secret").chmod(0)
        (source / "closed").chmod(0)
        wrapper = fake_tar(tmp_path, f'exec setpriv --bounding-set=-all --inh-caps=-all {tar} "$@"')
        archive, notes = level_zero(TarEngine(wrapper), source)
        assert notes.unreadable == 2
        assert notes.names == [
            "./closed: Cannot open: Permission denied",
            "./secret: Cannot open: Permission denied",
        ]
        assert {"readable"} <= names_in(archive)

    def test_status_2_for_unreadable_files_only_is_a_warning(
        self, tar: Path, source: Path, tmp_path: Path
    ) -> None:
        (source / "file").write_text("x")
        engine = TarEngine(
            fake_tar(
                tmp_path,
                f'{tar} "$@"\n'
                "cat >&2 << 'END'\n"
                "tar: ./a\\nb: Cannot open: Permission denied\n"
                "tar: ./a\\nb: Cannot open: Permission denied\n"
                "tar: ./c: Read error at byte 0, while reading 512 bytes: Input/output error\n"
                "tar: Exiting with failure status due to previous errors\n"
                "END\nexit 2",
            )
        )
        _, notes = level_zero(engine, source)
        assert notes.unreadable == 2
        assert notes.names[0] == "./a\\nb: Cannot open: Permission denied"

    @pytest.mark.parametrize(
        ("script", "told"),
        [
            ('echo "tar: memory exhausted" >&2; exit 2', "memory exhausted"),
            ('echo "tar: .: Cannot open: Permission denied" >&2; exit 2', "Permission denied"),
            ("kill -9 $$", "signal 9"),
            ("head -c 1000 /dev/zero; exit 3", "exit status 3"),
        ],
    )
    def test_any_other_failure_is_an_error(
        self, source: Path, tmp_path: Path, script: str, told: str
    ) -> None:
        with pytest.raises(EngineError, match=told):
            level_zero(TarEngine(fake_tar(tmp_path, script)), source)
        assert not (tmp_path / "state").exists()

    def test_an_archive_without_end_is_an_error(
        self, tar: Path, source: Path, tmp_path: Path
    ) -> None:
        (source / "file").write_bytes(os.urandom(50_000))
        engine = TarEngine(fake_tar(tmp_path, f'{tar} "$@" | head -c 20000'))
        with pytest.raises(Damaged, match="ends early"):
            level_zero(engine, source)

    def test_a_damaged_state_is_an_error(self, engine: TarEngine, source: Path) -> None:
        state = EngineState(previous=source.parent / "damaged", next=source.parent / "next")
        (source.parent / "damaged").write_text("GNU tar-1.34-2\nrubbish\0")
        with pytest.raises(EngineError, match=r"(?i)invalid"):
            archived(engine, source, state)
        assert not state.next.exists()

    def test_excluded_patterns_are_left_out(self, tar: Path, source: Path) -> None:
        for name in ("keep", "a.log", "cache/x", "deep/cache/y", "$(touch pwned)"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text("x")
        engine = TarEngine(tar, exclude=["*.log", "cache", "$(touch pwned)"])
        archive, _ = level_zero(engine, source)
        assert names_in(archive) == {".", "keep", "deep"}

    @pytest.mark.parametrize(
        ("dereference", "symlinks", "hard_links"),
        [
            (Dereference.NONE, 1, 1),
            (Dereference.SOFT, 0, 2),
            (Dereference.HARD, 1, 0),
            (Dereference.ALL, 0, 0),
        ],
    )
    def test_links_are_followed_as_asked(
        self, tar: Path, source: Path, dereference: Dereference, symlinks: int, hard_links: int
    ) -> None:
        (source / "one").write_text("one")
        (source / "two").hardlink_to(source / "one")
        (source / "link").symlink_to("one")
        archive, _ = level_zero(TarEngine(tar, dereference=dereference), source)
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            assert sum(member.issym() for member in members) == symlinks
            assert sum(member.islnk() for member in members) == hard_links

    def test_another_file_system_is_left_out(self, engine: TarEngine, tmp_path: Path) -> None:
        notes = SourceNotes()
        state = EngineState(previous=None, next=tmp_path / "state")
        archive = b"".join(engine.backup(Path("/dev"), state, notes))
        assert not any(name.startswith("shm/") for name in names_in(archive))
        assert notes.warnings == 0

    def test_the_environment_does_not_change_the_archive(
        self, engine: TarEngine, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (source / "file").write_text("x")
        monkeypatch.setenv("TAR_OPTIONS", "--exclude=file")
        archive, _ = level_zero(engine, source)
        assert "file" in names_in(archive)

    def test_an_inode_number_used_again_is_no_move(
        self, engine: TarEngine, source: Path, target: Path, tmp_path: Path
    ) -> None:
        levels = Levels(engine, source, tmp_path / "work")
        (source / "removed" / "deep").mkdir(parents=True)
        (source / "stays").mkdir()
        levels.backup()
        state = levels.work / "state 0"
        removed = (source / "removed" / "deep").stat().st_ino
        shutil.rmtree(source / "removed")
        (source / "stays" / "new").mkdir()
        (source / "stays" / "new" / "file").write_text("x")
        (source / "removed").write_text("a file now")
        # The file system does this by chance; here it is made sure.
        number = (source / "stays" / "new").stat().st_ino
        state.write_bytes(state.read_bytes().replace(b"\0%d\0" % removed, b"\0%d\0" % number))
        levels.backup()
        levels.restore(target)
        assert differences(tree_state(source), tree_state(target)) == []

    def test_a_restored_tree_goes_on_with_its_chain(
        self, engine: TarEngine, source: Path, target: Path, tmp_path: Path
    ) -> None:
        """All inode numbers are others then, many of them those of other directories before."""
        make_tree(source)
        levels = Levels(engine, source, tmp_path / "work")
        levels.backup()
        levels.restore(target)
        levels.source = target
        change_tree(target)
        levels.backup()
        levels.restore(tmp_path / "again")
        assert differences(tree_state(target), tree_state(tmp_path / "again")) == []


def test_something_that_is_not_gnu_tar_is_not_taken(tmp_path: Path) -> None:
    for name in ("gnutar", "gtar", "tar"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho bsdtar 3.7\n")
        program.chmod(0o755)
    with pytest.raises(EngineError, match="no GNU tar found: install"):
        find_gnu_tar(str(tmp_path))
    with pytest.raises(EngineError, match="no GNU tar found: install"):
        find_gnu_tar(str(tmp_path / "empty"))


def test_the_first_gnu_tar_is_taken(tar: Path, tmp_path: Path) -> None:
    (tmp_path / "tar").symlink_to(tar)
    other = tmp_path / "gnutar"
    other.write_text("#!/bin/sh\necho other tar\n")
    other.chmod(0o755)
    assert find_gnu_tar(str(tmp_path)) == tmp_path / "tar"


def test_a_tar_without_acls_is_used_without(tar: Path, source: Path, tmp_path: Path) -> None:
    script = (
        'for a in "$@"; do [ "$a" = --acls ] && echo "tar: no ACL support" >&2 && exit 2; done\n'
        f'exec {tar} "$@"'
    )
    (source / "file").write_text("x")
    os.setxattr(source / "file", "user.note", b"kept")
    archive, _ = level_zero(TarEngine(fake_tar(tmp_path, script)), source)
    assert b"SCHILY.xattr.user.note=kept" in archive


class TestRestoring:
    def test_set_uid_survives_two_levels(
        self, engine: TarEngine, source: Path, target: Path, tmp_path: Path
    ) -> None:
        levels = Levels(engine, source, tmp_path / "work")
        program = source / "program"
        for content in ("first", "second"):
            program.write_text(content)
            program.chmod(0o4711)
            levels.backup()
        levels.restore(target)
        assert (target / "program").stat().st_mode & 0o7777 == 0o4711
        assert (target / "program").read_text() == "second"

    def test_a_file_with_other_links_is_replaced_not_written_over(
        self, engine: TarEngine, source: Path, target: Path, tmp_path: Path
    ) -> None:
        (source / "file").write_text("from the backup")
        outside = tmp_path / "outside"
        outside.write_text("the user's")
        (target / "file").hardlink_to(outside)
        archive, _ = level_zero(engine, source)
        engine.restore(target, [archive], SourceNotes())
        assert outside.read_text() == "the user's"
        assert (target / "file").read_text() == "from the backup"

    def test_a_target_with_a_strange_name_works(
        self, engine: TarEngine, source: Path, tmp_path: Path
    ) -> None:
        (source / "file").write_text("x")
        archive, _ = level_zero(engine, source)
        target = tmp_path / "a b\n$(touch pwned)\udcff*"
        target.mkdir()
        engine.restore(target, [archive], SourceNotes())
        assert (target / "file").exists()

    @as_root
    def test_a_disk_that_is_full_is_told_as_such(
        self, engine: TarEngine, source: Path, target: Path
    ) -> None:
        for number in range(4):
            (source / f"{number}").write_bytes(os.urandom(500_000))
        archive, _ = level_zero(engine, source)
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", target]
        if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            pytest.skip("may not mount here")
        try:
            with pytest.raises(EngineError, match=r"the disk is full: .*No space left on device"):
                engine.restore(target, [archive], SourceNotes())
        finally:
            subprocess.run(["umount", target], check=True)

    def test_a_full_disk_is_told_at_once(self, source: Path, target: Path, tmp_path: Path) -> None:
        (source / "file").write_text("x")
        message = "tar: ./file: Cannot write: No space left on device"
        engine = TarEngine(
            fake_tar(
                tmp_path,
                f"""[ "$1" = --extract ] || exit 0; echo '{message}' >&2; exec sleep 600""",
            )
        )

        def endless() -> Iterator[bytes]:
            archive, _ = level_zero(TarEngine(find_gnu_tar()), source)
            yield archive
            while True:
                yield bytes(10_240)

        with pytest.raises(EngineError, match="the disk is full"):
            engine.restore(target, endless(), SourceNotes())

    def test_a_failure_of_tar_is_told(
        self, engine: TarEngine, source: Path, target: Path, tmp_path: Path
    ) -> None:
        (source / "file").write_text("x")
        archive, _ = level_zero(engine, source)
        broken = TarEngine(fake_tar(tmp_path, "echo 'tar: something broke' >&2; exit 2"))
        with pytest.raises(EngineError, match="something broke"):
            broken.restore(target, [archive], SourceNotes())
        killed = TarEngine(fake_tar(tmp_path, "kill -9 $$"))
        with pytest.raises(EngineError, match="could not extract"):
            killed.restore(target, [archive], SourceNotes())

    def test_a_hole_in_the_archive_is_noticed(
        self, engine: TarEngine, source: Path, target: Path
    ) -> None:
        for number in range(5):
            (source / str(number)).write_bytes(os.urandom(600))
        archive, _ = level_zero(engine, source)
        at = archive.index(b"./PaxHeaders/3")
        holed = archive[:at] + bytes(512) + archive[at + 512 :]
        with pytest.raises(Damaged, match="hole"):
            engine.restore(target, [holed], SourceNotes())

    def test_a_damaged_header_is_noticed(
        self, engine: TarEngine, source: Path, target: Path
    ) -> None:
        (source / "file").write_bytes(os.urandom(600))
        archive = bytearray(level_zero(engine, source)[0])
        archive[bytes(archive).index(b"./file") + 2] ^= 1
        with pytest.raises(Damaged, match="damaged header"):
            engine.restore(target, [bytes(archive)], SourceNotes())


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.pax_headers = {key.replace("_", "."): value for key, value in pax.items()}
    return info


def directory(name: str, *entries: str) -> tarfile.TarInfo:
    records = "".join(f"{item}\0" for item in entries)
    return entry(name, tarfile.DIRTYPE, GNU_dumpdir=records + "\0")


def archive_of(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            info, content = member if isinstance(member, tuple) else (member, b"")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


EVIL = b"evil"


def hostile_archives() -> dict[str, Callable[[str], list[bytes]]]:
    """Chains of levels that try to reach the directory whose name they are given."""
    return {
        "absolute name": lambda out: [
            archive_of(directory("./", "Yx"), (entry(f"{out}/victim"), EVIL))
        ],
        "name upwards": lambda _: [
            archive_of(directory("./", "Yx"), (entry("../outside/victim"), EVIL))
        ],
        "name upwards from inside": lambda _: [
            archive_of(
                directory("./", "Da"), directory("./a/"), (entry("./a/../../outside/new"), EVIL)
            )
        ],
        "file through a link of this level": lambda out: [
            archive_of(
                directory("./", "Ylink"),
                entry("./link", tarfile.SYMTYPE, out),
                (entry("./link/victim"), EVIL),
            )
        ],
        "file through a link of an earlier level": lambda out: [
            archive_of(directory("./", "Ylink"), entry("./link", tarfile.SYMTYPE, out)),
            archive_of(directory("./", "Nlink"), (entry("./link/victim"), EVIL)),
        ],
        "file in a directory that replaces a link": lambda out: [
            archive_of(directory("./", "Ylink"), entry("./link", tarfile.SYMTYPE, out)),
            archive_of(entry("./link/", tarfile.DIRTYPE), (entry("./link/victim"), EVIL)),
        ],
        "purge through a link of an earlier level": lambda out: [
            archive_of(directory("./", "Ylink"), entry("./link", tarfile.SYMTYPE, out)),
            archive_of(entry("./", tarfile.DIRTYPE), directory("./link/")),
        ],
        "two links that lead out together": lambda out: [
            archive_of(directory("./", "Yb"), entry("./b", tarfile.SYMTYPE, out)),
            archive_of(
                entry("./", tarfile.DIRTYPE),
                entry("./a", tarfile.SYMTYPE, "b"),
                (entry("./a/victim"), EVIL),
            ),
        ],
        "directory behind a link of this level": lambda out: [
            archive_of(
                directory("./", "Ylink"),
                entry("./link", tarfile.SYMTYPE, out),
                directory("./link/"),
            )
        ],
        "link in place of a declared directory": lambda out: [
            archive_of(
                directory("./", "Dlink"),
                directory("./link/"),
                entry("./link", tarfile.SYMTYPE, out),
                (entry("./link/victim"), EVIL),
            )
        ],
        "hard link to outside, then written": lambda out: [
            archive_of(
                directory("./", "Yx"),
                entry("./x", tarfile.LNKTYPE, f"{out}/victim"),
                (entry("./x"), EVIL),
            )
        ],
        "hard link through an earlier link": lambda out: [
            archive_of(directory("./", "Ylink"), entry("./link", tarfile.SYMTYPE, out)),
            archive_of(
                directory("./", "Nlink", "Yx"),
                entry("./x", tarfile.LNKTYPE, "./link/victim"),
                (entry("./x"), EVIL),
            ),
        ],
        "rename of something outside": lambda out: [
            archive_of(directory("./", f"R{out}/victim", "T./stolen"))
        ],
        "rename upwards": lambda _: [
            archive_of(directory("./", "R../outside/victim", "T./stolen"))
        ],
        "rename to outside": lambda _: [
            archive_of(directory("./", "Da"), directory("./a/")),
            archive_of(directory("./", "R./a", "T../outside/new")),
        ],
        "rename through an earlier link": lambda out: [
            archive_of(directory("./", "Ylink"), entry("./link", tarfile.SYMTYPE, out)),
            archive_of(directory("./", "R./link/victim", "T./stolen")),
        ],
        "rename through a renamed link": lambda out: [
            archive_of(
                directory("./", "Da"),
                directory("./a/", "Ylink"),
                entry("./a/link", tarfile.SYMTYPE, out),
            ),
            archive_of(directory("./", "R./a", "T./b", "R./b/link/victim", "T./stolen")),
        ],
        "late rename": lambda _: [archive_of(directory("./", "Da"), directory("./a/", "Rx", "Ty"))],
        "scratch directory outside": lambda out: [archive_of(directory("./", f"X{out}/tmp"))],
        "file with a directory's name": lambda out: [
            archive_of(directory("./", "Ylink"), entry("./link", tarfile.SYMTYPE, out)),
            archive_of(entry("./", tarfile.DIRTYPE), entry("./link/", tarfile.REGTYPE)),
        ],
        "name in the record of a sparse file": lambda out: [
            archive_of(
                directory("./", "Yx"),
                (entry("./x", GNU_sparse_major="1", GNU_sparse_name=f"{out}/victim"), EVIL),
            )
        ],
    }


# These lose their link to a real directory, as an honest archive would have it, and do no harm.
LINKS_THAT_GIVE_WAY = {
    "file in a directory that replaces a link",
    "purge through a link of an earlier level",
}

# Moves whose source is behind a link: such a source is not there, as if the move were a false one.
MOVES_OF_NOTHING = {"rename through an earlier link", "rename through a renamed link"}


class TestHostileArchives:
    @pytest.mark.parametrize("trick", hostile_archives())
    def test_nothing_outside_the_target_changes(
        self, engine: TarEngine, target: Path, tmp_path: Path, trick: str
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "victim").write_text("untouched")
        before = tree_state(outside)
        *earlier, last = hostile_archives()[trick](str(outside))
        for archive in earlier:
            engine.restore(target, [archive], SourceNotes())
        if trick in LINKS_THAT_GIVE_WAY:
            engine.restore(target, [last], SourceNotes())
            assert not (target / "link").is_symlink()
        elif trick in MOVES_OF_NOTHING:
            engine.restore(target, [last], SourceNotes())
        else:
            with pytest.raises((Damaged, EngineError)):
                engine.restore(target, [last], SourceNotes())
        assert differences(before, tree_state(outside)) == []
        assert not (target / "stolen").exists()

    def test_the_tricks_are_real(self, tar: Path, target: Path, tmp_path: Path) -> None:
        """Plain tar does follow the link of an earlier level: the guard is not for nothing."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "victim").write_text("untouched")
        trick = hostile_archives()["file through a link of an earlier level"]
        for archive in trick(str(outside)):
            argv = [tar, "--extract", "--incremental", "--directory", target]
            subprocess.run(argv, input=archive, check=False, capture_output=True)
        assert (outside / "victim").read_bytes() == EVIL

    def test_an_unknown_type_of_member_is_refused(self, engine: TarEngine, target: Path) -> None:
        with pytest.raises(Damaged, match="unknown type"):
            engine.restore(target, [archive_of(entry("x", b"V"))], SourceNotes())

    @pytest.mark.parametrize(
        "records", [b"rubbish", b"9999 path=x\n", b"3 x\n", b"11 size=-12\n" + b"10 size=x1\n"]
    )
    def test_broken_extended_headers_are_refused(
        self, engine: TarEngine, target: Path, records: bytes
    ) -> None:
        extension = tarfile.TarInfo("PaxHeaders/x")
        extension.type = b"x"
        extension.size = len(records)
        raw = extension.tobuf(tarfile.USTAR_FORMAT) + records.ljust(512, b"\0")
        with pytest.raises(Damaged):
            engine.restore(target, [raw + archive_of(entry("x"))], SourceNotes())
