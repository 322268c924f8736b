"""How fast the agent moves a real file tree, beside plain pipelines on the same machine.

    python benchmarks/agent_tar.py [--tree DIR] [--files 50000] [--compression gzip ...] [--keep]

Copies at least that many files from /usr to DIR, then runs, each with its peer in the same run: a
full backup, an unchanged level 1 and a restore, through the `freezer-agent` command. A line holds
the wall time of both, their ratio, and the peak memory of every process of the agent. The agent's
files are on the disk when its time ends; the peers' too (`sync FILE`). At the end the restored
tree is compared with the source.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("share", "include", "local", "bin", "sbin", "lib")
# What each compression is compared with: the usual pipeline, and the one with the same compressor.
IGZIP = f"{sys.executable} -m isal.igzip"
PEERS = {
    "none": {"tar": ("cat", "cat")},
    "gzip": {
        "tar | gzip -6": ("gzip -6", "gzip -dc"),
        "tar | igzip (ISA-L)": (f"{IGZIP} -2 -c", f"{IGZIP} -d -c"),
    },
    "zstd": {"tar | zstd -T2": ("zstd -q -3 -T2", "zstd -dc")},
}
TARGET_RATIO = 1.3
MEMORY_MIB = 128


@dataclass(kw_only=True)
class Run:
    """What one command took."""

    seconds: float = 0.0
    peak_kib: dict[str, int] = field(default_factory=dict)

    @property
    def memory(self) -> str:
        """The peak of each process by name."""
        return ", ".join(
            f"{name} {kib / 1024:.0f} MiB" for name, kib in sorted(self.peak_kib.items())
        )


def main() -> int:
    """Run everything that the options ask for."""
    options = _parsed()
    work = Path(tempfile.mkdtemp(prefix="freezer-benchmark-", dir=options.tree.parent))
    own_tree = not options.tree.exists()
    try:
        if own_tree:
            _copy_files(options.tree, options.files)
        files, size_bytes = _measured(options.tree)
        print(f"{files} files, {size_bytes / 1e6:.0f} MB in {options.tree}, {os.cpu_count()} cores")
        _warm_up(options.tree)
        for compression in options.compression:
            _compare(options.tree, work / compression, compression)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if own_tree and not options.keep:
            shutil.rmtree(options.tree, ignore_errors=True)
    return 0


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, default=Path(tempfile.gettempdir()) / "freezer-tree")
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--compression", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--keep", action="store_true", help="keep the copied tree")
    return parser.parse_args()


def _copy_files(tree: Path, wanted: int) -> None:
    print(f"copying at least {wanted} files to {tree} ...", flush=True)
    tree.mkdir(parents=True)
    for part in PARTS:
        subprocess.run(["cp", "-a", f"/usr/{part}", tree / part], check=True)
        if _measured(tree)[0] >= wanted:
            return
    sys.exit(f"/usr has fewer than {wanted} files")


def _measured(tree: Path) -> tuple[int, int]:
    files = size_bytes = 0
    for folder, _, names in os.walk(tree):
        for name in names:
            status = Path(folder, name).lstat()
            files += 1
            size_bytes += status.st_size
    return files, size_bytes


def _warm_up(tree: Path) -> None:
    subprocess.run(f"tar -c -C {tree} . | cat > {os.devnull}", shell=True, check=True)  # noqa: S602 - as a user would


def _compare(tree: Path, work: Path, compression: str) -> None:
    work.mkdir()
    print(f"\n{compression}")
    agent = {
        "full backup": _watched(_backup_arguments(tree, work, compression)),
        "unchanged level 1": _watched(_backup_arguments(tree, work, compression)),
        "restore": _watched(_restore_arguments(work)),
    }
    _check_same(tree, work / "restored")
    shutil.rmtree(work / "restored")
    stored = _stored_bytes(work / "store")
    for name, (packer, unpacker) in PEERS[compression].items():
        peer = _peer_runs(tree, work, packer, unpacker)
        for step, run in agent.items():
            ratio = run.seconds / peer[step].seconds
            print(
                f"  {step:18} agent {run.seconds:7.2f} s   {name:20} {peer[step].seconds:7.2f} s"
                f"   ratio {ratio:5.2f}"
            )
        print(
            f"  stored             agent {stored / 1e6:7.1f} MB  {name:20} {_size_of(work):7.1f} MB"
        )
    for step, run in agent.items():
        print(f"  peak memory, {step}: {run.memory}")
        if max(run.peak_kib.values()) > MEMORY_MIB * 1024:
            print(f"  MORE THAN {MEMORY_MIB} MiB")


def _backup_arguments(tree: Path, work: Path, compression: str) -> list[str]:
    return [
        *_agent_command(),
        *("--action", "backup", "--path-to-backup", str(tree), "--max-level", "5"),
        *("--compression", compression),
        *_storage_arguments(work),
    ]


def _restore_arguments(work: Path) -> list[str]:
    return [
        *_agent_command(),
        *("--action", "restore", "--restore-abs-path", str(work / "restored")),
        *_storage_arguments(work),
    ]


def _storage_arguments(work: Path) -> list[str]:
    return [
        *("--storage", "local", "--container", str(work / "store")),
        *("--backup-name", "benchmark", "--hostname", "here", "--log-file", str(work / "log")),
    ]


def _agent_command() -> list[str]:
    return [sys.executable, "-m", "freezer_agent"]


def _peer_runs(tree: Path, work: Path, packer: str, unpacker: str) -> dict[str, Run]:
    """The same three steps by hand."""
    target = work / "peer-restored"
    target.mkdir()
    tar = f"tar -c -C {tree} --listed-incremental={work}/snapshot"
    runs = {
        "full backup": _watched_shell(f"{tar} . | {packer} > {work}/peer-0 && sync {work}/peer-0"),
        "unchanged level 1": _watched_shell(
            f"{tar} . | {packer} > {work}/peer-1 && sync {work}/peer-1"
        ),
        "restore": _watched_shell(
            f"{unpacker} < {work}/peer-0 | tar -x --incremental -C {target} && "
            f"{unpacker} < {work}/peer-1 | tar -x --incremental -C {target}"
        ),
    }
    shutil.rmtree(target)
    (work / "snapshot").unlink()
    return runs


def _size_of(work: Path) -> float:
    return (work / "peer-0").stat().st_size / 1e6


def _stored_bytes(store: Path) -> int:
    return max(path.stat().st_size for path in store.rglob("data") if path.is_file())


def _watched_shell(command: str) -> Run:
    return _watched(["sh", "-c", command])


def _watched(argv: list[str]) -> Run:
    """Run it to its end, with the time and the peak memory of each of its processes."""
    run = Run()
    start = time.perf_counter()
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        stop = threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, run.peak_kib, stop))
        sampler.start()
        status = process.wait()
        run.seconds = time.perf_counter() - start
        stop.set()
        sampler.join()
    if status != 0:
        sys.exit(f"{' '.join(argv)} ended with status {status}")
    return run


def _sample(pid: int, peaks: dict[str, int], stop: threading.Event) -> None:
    # The kernel keeps each process's peak, so a glance now and then is exact but for the end.
    while not stop.wait(0.05):
        for process in _descendants(pid):
            name, kib = _peak_of(process)
            peaks[name] = max(peaks.get(name, 0), kib)


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def _peak_of(pid: int) -> tuple[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return "ended", 0
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return fields["Name"].strip(), int(fields.get("VmHWM", "0 kB").split()[0])


def _check_same(tree: Path, restored: Path) -> None:
    result = subprocess.run(
        ["diff", "-r", "-q", "--no-dereference", tree, restored],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        sys.exit(f"the restored tree differs: {result.stdout[:500]}{result.stderr[:500]}")


if __name__ == "__main__":
    sys.exit(main())
