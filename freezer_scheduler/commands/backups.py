"""The commands for backups: what the API knows of them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from freezer_model.instants import from_epoch
from freezer_scheduler.commands.base import Command, CommandContext, found
from freezer_scheduler.commands.selection import PAGED, print_selected

_COLUMNS = (
    "backup uuid",
    "container",
    "backup name",
    "timestamp",
    "level",
    "path",
    "size",
    "duration",
)
_LONG_COLUMNS = ("job-id", "client-id", "hostname")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def _list(context: CommandContext) -> None:
    columns = _COLUMNS + _LONG_COLUMNS * context.long
    print_selected(
        context,
        context.freezer.backups.list,
        columns,
        lambda backup: _row(backup, is_long=context.long),
        values=_SORT_VALUES,
    )


def _get(context: CommandContext) -> None:
    context.show(found(context.freezer.backups.get(context.backup), "backup", context.backup))


def _fact(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda backup: (backup.get("backup_metadata") or {}).get(name)


_SORT_VALUES = {
    "timestamp": _fact("time_stamp"),
    "size": _fact("backup_size_compressed"),
    "duration": _fact("duration_seconds"),
}


def _row(backup: Mapping[str, Any], *, is_long: bool) -> Iterable[Any]:
    metadata = backup.get("backup_metadata") or {}
    yield backup.get("backup_id")
    yield metadata.get("container")
    yield metadata.get("backup_name")
    yield _time(metadata.get("time_stamp"))
    yield metadata.get("curr_backup_level", metadata.get("level"))
    yield metadata.get("path_to_backup") or metadata.get("fs_real_path")
    yield _size(metadata.get("backup_size_compressed"))
    yield _duration(metadata.get("duration_seconds"))
    if is_long:
        yield metadata.get("job_id")
        yield metadata.get("client_id")
        yield metadata.get("hostname")


def _time(epoch: Any) -> str:
    """Local time in the form that --restore-from-date takes; odd values as they are."""
    try:
        return from_epoch(int(epoch)).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, TypeError, OverflowError, OSError):
        return str(epoch or "")


def _is_amount(value: Any) -> bool:
    """Agents send "" for what they do not know, and JSON may even hold NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**63


def _size(size_bytes: Any) -> str:
    if not _is_amount(size_bytes):
        return ""
    size = float(size_bytes)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _duration(seconds: Any) -> str:
    if not _is_amount(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


COMMANDS = (
    Command(
        name="backup-list",
        help="List the backups that the API knows; --long with job, client and host.",
        act=_list,
        takes=("long", *PAGED),
    ),
    Command(
        name="backup-get",
        help="Print what the API knows of one backup.",
        act=_get,
        needs=("backup",),
    ),
)
