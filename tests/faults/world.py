"""A set of backups that is made, pruned and rekeyed while faults happen, and what must hold then.

Whatever happened, the list shows only whole backups: those that were there, the one being made,
and none that restores to anything but the tree that it was made of.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.fakes.agent_command import REPOSITORY, AgentCommand, Ended
from tests.fakes.trees import NodeState, differences, tree_state
from tests.faults.places import HIDDEN, Place

KEYS = ("even", "odd")
AREAS = ("storages,catalog,actions", "storages,catalog,actions,pipeline,processes,consistency")
_Tree = dict[bytes, NodeState]


class Deed(StrEnum):
    """What may be interrupted."""

    BACKUP = "backup"
    PRUNE = "prune"
    REKEY = "rekey"


@dataclass(kw_only=True)
class World:
    """One set of sealed backups in one storage, and what its source was at each of them."""

    agent: AgentCommand
    place: Place
    chance: random.Random
    trees: dict[int, _Tree] = field(default_factory=dict)
    key: str = KEYS[0]
    moments: dict[tuple[Deed, str], int] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        return self.agent.folder / "source"

    def begin(self) -> None:
        """The keys, the source, and a first chain."""
        for name in KEYS:
            key = X25519PrivateKey.from_private_bytes(name.encode().ljust(32))
            private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            for kind, content in (("key", private), ("pub", public)):
                path = self.agent.folder / f"{name}.{kind}"
                path.touch(mode=0o600)
                path.write_bytes(content)
        self.source.mkdir()
        (self.source / "large").write_bytes(self.chance.randbytes(2_500_000))
        for deed in (Deed.BACKUP, Deed.BACKUP, Deed.PRUNE, Deed.REKEY):
            self.change_source()
            self._count(deed)
        self.check()

    def change_source(self) -> None:
        """Other bytes, another file, one file less."""
        files = sorted(self.source.glob("file *"))
        if len(files) > 3:
            self.chance.choice(files).unlink()
        number = self.chance.randrange(1000)
        (self.source / f"file {number}").write_bytes(self.chance.randbytes(number))
        if not self.chance.randrange(2):
            (self.source / "large").write_bytes(self.chance.randbytes(2_500_000))

    def words(self, deed: Deed, place: Place | None = None) -> list[str]:
        """The command line of a deed, by another way to the storage if one is given."""
        common = [*(place or self.place).options, "-N", "name", "--hostname", "node"]
        if deed is Deed.BACKUP:
            key = ["--encrypt-recipient", self._file(self.key, "pub")]
            words = ["--max-level", "2", "--compression", "none", "--nosync"]
            return [*common, *key, *words, "-F", str(self.source)]
        if deed is Deed.PRUNE:
            return [*common, "--action", "admin", "--keep-last", "2"]
        other = self._other
        rekey = ["--action", "admin", "--rekey"]
        rekey += ["--decrypt-key-file", self._file(self.key, "key")]
        rekey += ["--remove-encrypt-recipient", self._file(self.key, "pub")]
        return [*common, *rekey, "--new-encrypt-recipient", self._file(other, "pub")]

    def kill_during(self, deed: Deed) -> str:
        """Run the deed in a process that dies at a random moment; says which it was."""
        area = self.chance.choice(AREAS)
        moment = 1 + self.chance.randrange(self.moments[deed, area])
        self._die(area, moment, deed)
        return f"{deed} killed at moment {moment} of {area}"

    def settle(self, deed: Deed) -> Ended:
        """Do the deed undisturbed: that works, and leaves nothing that is not of a backup."""
        before = set(self.listed())
        tree = self._tree(self.source)
        if deed is Deed.BACKUP:
            self.trees = dict.fromkeys(before, tree) | self.trees
        ended = self.agent.run(*self.words(deed))
        assert ended.status == 0, ended.stderr
        self.note(before, tree)
        if deed is Deed.REKEY:
            self.key = self._other
        else:
            self._check_nothing_is_left()
        return ended

    def attempt(self, deed: Deed, place: Place) -> str:
        """Do the deed by another way to the storage, where it may fail, but knows why.

        In a process of its own: a lock that it cannot give back is stale afterwards.
        """
        program = [sys.executable, "-m", "freezer_agent", "--log-file", str(self.agent.log)]
        ended = subprocess.run(
            [*program, *self.words(deed, place), "--storage-attempts", "2"],
            env={**self.agent.environment(), **place.environment},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert ended.returncode in {0, 1}, ended.stderr
        assert "unexpected" not in ended.stderr, ended.stderr
        if ended.returncode == 0 and deed is Deed.REKEY:
            self.key = self._other
        return ended.stderr

    def disturb(self, deed: Deed, fault: Callable[[], object]) -> None:
        """Let the fault happen to the deed, then check, then do it again in peace."""
        before = set(self.listed())
        tree = self._tree(self.source)
        fault()
        listed = set(self.listed())
        if deed is not Deed.PRUNE:
            assert before <= listed, "a backup has vanished"
        new = listed - before
        assert len(new) <= (deed is Deed.BACKUP), "a backup that nobody made is listed"
        self.note(before, tree)
        self.check(tree if deed is Deed.BACKUP else None)

    def note(self, before: set[int], tree: _Tree) -> None:
        """Remember what the source was for backups that have come since."""
        for moment in set(self.listed()) - before:
            self.trees[moment] = tree

    def listed(self) -> list[int]:
        """The seconds of the backups that the agent lists."""
        ended = self.agent.run("--action", "info", "-l", *self.place.options, "--json")
        if ended.status != 0 and "no container" in ended.stderr.lower():
            return []
        assert ended.status == 0, ended.stderr
        return [one["time_stamp"] for one in ended.report["backups"]]

    def check(self, late: _Tree | None = None) -> None:
        """Every listed backup restores to the tree that it was made of.

        `late` is that of a run that was killed: the server may carry out its last request, which
        publishes the backup, some time afterwards.
        """
        for moment in self.listed():
            if late is not None:
                self.trees.setdefault(moment, late)
            target = self.agent.folder / "restored"
            self._restore(moment, target)
            found = differences(self.trees[moment], self._tree(target))
            assert found == [], f"backup of {moment}: {found}"
            shutil.rmtree(target)

    def _restore(self, moment: int, target: Path) -> None:
        words = [*self.place.options, "-N", "name", "--hostname", "node", "--action", "restore"]
        words += [
            "--restore-from-date",
            f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "--restore-abs-path",
            str(target),
        ]
        said = []
        for name in KEYS:
            ended = self.agent.run(*words, "--decrypt-key-file", self._file(name, "key"))
            if ended.status == 0:
                return
            said.append(ended.stderr)
            shutil.rmtree(target, ignore_errors=True)
        raise AssertionError(f"the backup of {moment} does not restore: {said}")

    def _check_nothing_is_left(self) -> None:
        """Nothing of backups that are none; the six bytes of a mark half written may wait."""
        moments = {str(moment) for moment in self.listed()}
        strays = [name for name in self.place.names() if _is_stray(name, moments)]
        assert not strays, f"left behind: {strays}"

    def _count(self, deed: Deed) -> None:
        """Do the deed, and see how many moments it has in each area."""
        counted = self.agent.folder / "moments"
        before, tree = set(self.listed()), self._tree(self.source)
        process = self._start(":".join(AREAS), 0, deed, {"FREEZER_MOMENTS": str(counted)})
        assert process.wait(timeout=120) == 0
        self.note(before, tree)
        if deed is Deed.REKEY:
            self.key = self._other
        for area, moments in zip(AREAS, counted.read_text().split(), strict=True):
            self.moments[deed, area] = int(moments)

    def _die(self, area: str, moment: int, deed: Deed) -> None:
        process = self._start(area, moment, deed, {})
        status = process.wait(timeout=120)
        assert status in {0, -9}, f"ended with {status}: see {self.agent.log.read_text()[-2000:]}"
        if status == 0 and deed is Deed.REKEY:
            self.key = self._other

    def _start(
        self, area: str, moment: int, deed: Deed, environment: dict[str, str]
    ) -> "subprocess.Popen[bytes]":
        program = [sys.executable, str(REPOSITORY / "tests/faults/dying_agent.py"), area]
        words = ["--log-file", str(self.agent.log), *self.words(deed)]
        return subprocess.Popen(
            [*program, str(moment), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**self.agent.environment(), **self.place.environment, **environment},
            cwd=REPOSITORY,
        )

    @property
    def _other(self) -> str:
        return KEYS[1 - KEYS.index(self.key)]

    def _file(self, name: str, kind: str) -> str:
        return str(self.agent.folder / f"{name}.{kind}")

    def _tree(self, folder: Path) -> _Tree:
        return tree_state(folder, owners=False, xattrs=False)


def _is_stray(name: str, moments: set[str]) -> bool:
    """Whether it belongs to no backup of these moments, or is a half written part of one."""
    root, *rest = name.split("/")
    if root == "unfinished":
        return HIDDEN not in name
    if root not in {"data", "metadata"}:
        return False
    return HIDDEN in name or rest[3].partition("_")[2] not in moments


def seed() -> int:
    """What decides every choice of a run; printed with every failure."""
    return int(os.environ.get("FREEZER_FAULT_SEED", "19"))
