"""The commands that `agent_stream.py` compares: ours, restic, borg and the bare pipeline."""

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent
PASS_PHRASE = "a pass phrase of the benchmark"  # noqa: S105 - no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a contender works, what it saves, and where it restores to."""

    work: Path
    source: Path
    restored: Path


class Contender(Protocol):
    """Argument lists for the steps. Backups are numbered; a restore brings back one of them."""

    places: Places
    environment: Mapping[str, str]

    def prepare(self) -> list[list[str]]:
        """What comes before the first backup and is not measured."""
        ...

    def backup(self, number: int) -> list[str]:
        """The next backup."""
        ...

    def restore(self, number: int) -> list[str]:
        """Bring back what the source was at that backup; runs in `places.restored`."""
        ...

    def restored_root(self) -> Path:
        """Where the source is found then."""
        ...

    def store(self) -> Path:
        """What it has stored."""
        ...


class Agent:
    """freezer-agent: zstd, sealed, on local storages."""

    def __init__(self, places: Places, storages: int = 1) -> None:
        self.places = places
        self.environment = {"HOME": str(places.work), "PYTHONPATH": str(ROOT)}
        self._stores = [self.store() / str(number) for number in range(storages)]
        self._key = places.work / "pass-phrase"

    def prepare(self) -> list[list[str]]:
        """The pass phrase and the job file."""
        _write_secret(self._key)
        sections = "".join(
            f"[storage:s{number}]\nstorage = local\ncontainer = {store}\n"
            for number, store in enumerate(self._stores)
        )
        (self.places.work / "job.ini").write_text(f"[job]\nbackup_name = benchmark\n{sections}")
        return []

    def backup(self, number: int) -> list[str]:
        """A level 0, then increments."""
        del number
        words = ["--path-to-backup", str(self.places.source), "--max-level", "9"]
        return self._command(*words, "--compression", "zstd")

    def restore(self, number: int) -> list[str]:
        """The latest."""
        del number
        target = str(self.places.restored)
        return self._command("--action", "restore", "--restore-abs-path", target)

    def restored_root(self) -> Path:
        """The target itself."""
        return self.places.restored

    def store(self) -> Path:
        """The folder of the containers."""
        return self.places.work / "store"

    def _command(self, *words: str) -> list[str]:
        work = self.places.work
        return [
            *(sys.executable, "-m", "freezer_agent", "--config", str(work / "job.ini")),
            *("--encrypt-pass-file", str(self._key), "--hostname", "here"),
            *("--log-file", str(work / "log"), "--quiet", *words),
        ]


class Pipeline:
    """tar, zstd and openssl in a row, by hand."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.environment: Mapping[str, str] = {}
        self._key = places.work / "pass-phrase"

    def prepare(self) -> list[list[str]]:
        """The pass phrase."""
        _write_secret(self._key)
        self.store().mkdir()
        return []

    def backup(self, number: int) -> list[str]:
        """A level of GNU tar, on the disk when it ends."""
        work, source = shlex.quote(str(self.places.work)), shlex.quote(str(self.places.source))
        archive = f"{work}/store/{number}"
        return _shell(
            f"tar -c -C {source} --listed-incremental={work}/store/snapshot . | zstd -q -3 -T2 "
            f"| openssl enc -aes-256-ctr -pbkdf2 -pass file:{work}/pass-phrase > {archive} "
            f"&& sync {archive}"
        )

    def restore(self, number: int) -> list[str]:
        """All levels, one after the other."""
        work, target = shlex.quote(str(self.places.work)), shlex.quote(str(self.places.restored))
        levels = [
            f"openssl enc -d -aes-256-ctr -pbkdf2 -pass file:{work}/pass-phrase "
            f"-in {work}/store/{level} | zstd -q -d | tar -x --incremental -C {target}"
            for level in range(number + 1)
        ]
        return _shell(" && ".join(levels))

    def restored_root(self) -> Path:
        """The target itself."""
        return self.places.restored

    def store(self) -> Path:
        """The archives."""
        return self.places.work / "store"


class Restic:
    """restic with its own defaults."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.environment = {
            "RESTIC_REPOSITORY": str(places.work / "store"),
            "RESTIC_PASSWORD": PASS_PHRASE,
            "RESTIC_CACHE_DIR": str(places.work / "cache"),
        }

    def prepare(self) -> list[list[str]]:
        """A repository."""
        return [["restic", "init", "--quiet"]]

    def backup(self, number: int) -> list[str]:
        """A snapshot."""
        del number
        return ["restic", "backup", "--quiet", str(self.places.source)]

    def restore(self, number: int) -> list[str]:
        """The latest snapshot."""
        del number
        return ["restic", "restore", "latest", "--quiet", "--target", str(self.places.restored)]

    def restored_root(self) -> Path:
        """It keeps the whole path."""
        return self.places.restored / self.places.source.relative_to("/")

    def store(self) -> Path:
        """The repository."""
        return self.places.work / "store"


class Borg:
    """borg with zstd, as we compress."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.environment = {
            "BORG_REPO": str(places.work / "store"),
            "BORG_PASSPHRASE": PASS_PHRASE,
            "BORG_BASE_DIR": str(places.work / "base"),
        }

    def prepare(self) -> list[list[str]]:
        """A repository, authenticated and encrypted."""
        return [["borg", "init", "--encryption", "repokey-blake2"]]

    def backup(self, number: int) -> list[str]:
        """An archive."""
        source = str(self.places.source)
        return ["borg", "create", "--compression", "zstd,3", f"::{number}", source]

    def restore(self, number: int) -> list[str]:
        """The archive, into the working directory."""
        return ["borg", "extract", f"::{number}"]

    def restored_root(self) -> Path:
        """It keeps the whole path."""
        return self.places.restored / self.places.source.relative_to("/")

    def store(self) -> Path:
        """The repository."""
        return self.places.work / "store"


def _three_storages(places: Places) -> Contender:
    return Agent(places, storages=3)


CONTENDERS: Mapping[str, Callable[[Places], Contender]] = {
    "pipeline": Pipeline,
    "freezer-agent": Agent,
    "agent, 3 storages": _three_storages,
    "restic": Restic,
    "borg": Borg,
}


def _write_secret(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_text(PASS_PHRASE + "\n")


def _shell(command: str) -> list[str]:
    # Pipelines fail when any part of them does, as the agent would.
    return ["bash", "-c", f"set -e -o pipefail; {command}"]
