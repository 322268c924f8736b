"""How the agent's sealed streams compare with restic, borg and a bare pipeline.

    python benchmarks/agent_stream.py [--tree DIR] [--image-mib 1024] [--work DIR]
        [--restore-to /dev/shm] [--only NAME ...] [--rounds 1] [--timeout 900] [--json FILE]

The source is a copy of the tree (at least 75,000 small files; the Debian package linux-source-6.1
unpacked is a good one; without --tree parts of /usr) and a disk image of which every second MiB
can be compressed. Each contender makes a full backup, one of the unchanged source, one after 1 % of
the files and of the image have changed, and restores the last into memory. The restored tree is
compared with the source. All run in one call, one after the other, so that their ratios mean
something on a machine whose speed varies; the load of the machine is written beside them.
Needs restic, borg, zstd and openssl: apt-get install restic borgbackup zstd openssl
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from agent_contenders import CONTENDERS, Contender, Places
from watched_runs import Run, watched

PARTS = ("share", "include", "lib")
FEWEST_FILES = 75_000
STEPS = ("full", "unchanged", "changed", "restore")
MIB = 1 << 20
Figures = dict[str, dict[str, list[Run]]]


def main() -> int:
    """Run every contender and print what it took, and its ratio to the bare pipeline."""
    options = _parsed()
    work = Path(tempfile.mkdtemp(prefix="freezer-stream-", dir=options.work))
    memory = Path(tempfile.mkdtemp(prefix="freezer-stream-", dir=options.restore_to))
    try:
        return _run(options, work, memory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(memory, ignore_errors=True)


def _run(options: argparse.Namespace, work: Path, memory: Path) -> int:
    source = work / "source"
    _make_source(source, options.tree, options.image_mib)
    load_before = os.getloadavg()[0]
    figures: Figures = {name: {step: [] for step in STEPS} for name in options.only}
    stored: dict[str, int] = {}
    for turn in range(options.rounds):
        _change(source, seed=2 * turn)
        for name in options.only:
            places = Places(work=work / f"{name}-{turn}", source=source, restored=memory / name)
            stored[name] = _measure(CONTENDERS[name](places), figures[name], options, turn)
            print(f"{name} is done, load {os.getloadavg()[0]:.1f}", flush=True)
    _print_table(figures, stored)
    if options.json:
        _write_json(options.json, figures, stored, load_before)
    return 0


def _measure(
    contender: Contender, figures: dict[str, list[Run]], options: argparse.Namespace, turn: int
) -> int:
    """All steps of one contender; gives the bytes that it stored."""
    places = contender.places
    places.work.mkdir()
    places.restored.mkdir()
    changed = places.work / "changed-files"
    changed.mkdir()

    def step(name: str, argv: list[str], folder: Path = places.work) -> None:
        run = watched(
            argv,
            folder=folder,
            environment=contender.environment,
            timeout_seconds=options.timeout,
        )
        figures[name].append(run)

    for argv in contender.prepare():
        watched(argv, folder=places.work, environment=contender.environment, timeout_seconds=60)
    _warm_up(places.source)
    step("full", contender.backup(0))
    step("unchanged", contender.backup(1))
    undo = _change(places.source, seed=2 * turn + 1, keep=changed)
    _warm_up(places.source)
    step("changed", contender.backup(2))
    step("restore", contender.restore(2), places.restored)
    _check_same(places.source, contender.restored_root())
    for original, copy in undo.items():
        shutil.copy2(copy, original)
    size_bytes = sum(path.lstat().st_size for path in contender.store().rglob("*"))
    shutil.rmtree(places.work)
    shutil.rmtree(places.restored)
    return size_bytes


def _make_source(source: Path, tree: Path | None, image_mib: int) -> None:
    source.mkdir(parents=True)
    trees = [tree] if tree else [Path("/usr", part) for part in PARTS]
    for one in trees:
        subprocess.run(["cp", "-a", one, source / one.name], check=True)
    files = sum(len(names) for _, _, names in os.walk(source))
    if files < FEWEST_FILES:
        sys.exit(f"{files} files are too few: give a --tree with at least {FEWEST_FILES}")
    chance = random.Random(1)  # noqa: S311 - data, no secret
    words = b"".join(b"block %d of a disk image\n" % number for number in range(50_000))[:MIB]
    with (source / "disk.img").open("wb") as image:
        for number in range(image_mib):
            image.write(chance.randbytes(MIB) if number % 2 else words)
    print(f"{files} files and an image of {image_mib} MiB, {os.cpu_count()} cores", flush=True)


def _change(source: Path, seed: int, keep: Path | None = None) -> dict[Path, Path]:
    """Change 1 % of the files, and 1 % of the image; gives where the originals are kept."""
    chance = random.Random(seed)  # noqa: S311 - data, no secret
    files = sorted(
        Path(folder, name)
        for folder, _, names in os.walk(source)
        for name in names
        if not Path(folder, name).is_symlink()
    )
    kept: dict[Path, Path] = {}
    for number, path in enumerate([*chance.sample(files, len(files) // 100), source / "disk.img"]):
        if keep is not None:
            kept[path] = keep / str(number)
            shutil.copy2(path, kept[path])
        with path.open("r+b") as file:
            if path.name != "disk.img":
                file.seek(0, os.SEEK_END)
                file.write(b"one more line\n")
                continue
            size_mib = path.stat().st_size // MIB
            for at in chance.sample(range(size_mib), max(1, size_mib // 100)):
                file.seek(at * MIB)
                file.write(chance.randbytes(MIB))
    return kept


def _warm_up(source: Path) -> None:
    # Through a pipe: tar does not read what it would write to the null device.
    read = ["bash", "-c", 'tar -c -C "$0" . | cat > /dev/null; sync', str(source)]
    subprocess.run(read, check=True)


def _check_same(source: Path, restored: Path) -> None:
    result = subprocess.run(
        ["diff", "-r", "-q", "--no-dereference", source, restored],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        sys.exit(f"the restored tree differs: {result.stdout[:500]}{result.stderr[:500]}")


def _print_table(figures: Figures, stored: dict[str, int]) -> None:
    base = figures.get("pipeline", {})
    print(f"{'':18}{'step':11}{'wall s':>8}{'ratio':>7}{'cpu s':>8}{'ratio':>7}{'peak MiB':>10}")
    for name, steps in figures.items():
        for step, runs in steps.items():
            wall = statistics.median(run.wall_seconds for run in runs)
            cpu = statistics.median(run.cpu_seconds for run in runs)
            peak = max(run.peak_bytes for run in runs)
            peers = base.get(step, runs)
            of_wall = wall / statistics.median(run.wall_seconds for run in peers)
            of_cpu = cpu / statistics.median(run.cpu_seconds for run in peers)
            print(
                f"{name:18}{step:11}{wall:8.2f}{of_wall:7.2f}{cpu:8.2f}{of_cpu:7.2f}"
                f"{peak / MIB:10.0f}"
            )
        print(f"{name:18}stored {stored[name] / 1e6:.0f} MB")


def _write_json(path: Path, figures: Figures, stored: dict[str, int], load_before: float) -> None:
    document = {
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "stored_bytes": stored,
        "runs": {
            name: {step: [asdict(run) for run in runs] for step, runs in steps.items()}
            for name, steps in figures.items()
        },
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tree", type=Path, help="at least 75,000 small files")
    parser.add_argument("--image-mib", type=int, default=1024)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--restore-to", type=Path, default=Path("/dev/shm"))  # noqa: S108 - memory
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=1, help="the medians of so many are printed")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for each command")
    parser.add_argument("--json", type=Path, help="write every figure to this file too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
