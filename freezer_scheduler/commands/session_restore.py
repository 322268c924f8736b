"""The command that brings every node of a session back to what it was in one run of it.

It looks up which backup each node made in that run, and gives each node a job that restores it. One
that has none stops the whole command, before any job is made: a set with a hole is not consistent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freezer_model.instants import from_epoch
from freezer_scheduler.commands.base import Command, CommandContext, CommandFailed, found, ids
from freezer_scheduler.commands.jobs import checked_job

_COLUMNS = ("client_id", "job_id", "backup name", "hostname", "timestamp", "level")

_OF_THE_BACKUP_ALONE = frozenset(
    [
        "always_level",
        "backup_id",
        "command",
        "compression",
        "consistency_check",
        "dereference_symlink",
        "exclude",
        "file_to_backup",
        "fullbackup_rotation",
        "incremental",
        "lvm_auto_snap",
        "lvm_dirmount",
        "lvm_snap_perm",
        "lvm_snapname",
        "lvm_snapsize",
        "lvm_srcvol",
        "lvm_volgroup",
        "max_level",
        "metadata_out",
        "no_incremental",
        "path_to_backup",
        "report",
        "restart_always_level",
        "snapshot",
        "sync",
    ]
)
_OF_REMOVALS = ("keep_", "remove_")
"""A restore must not remove backups because the job that made them does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What the options ask for: the run, the options of the restore, its rules and its schedule."""

    session_id: str
    tag: int
    options: Mapping[str, Any]
    rules: Mapping[str, Any]
    schedule: Mapping[str, Any]
    description: str
    backup_name: str
    clients: frozenset[str]

    def wants(self, client_id: str) -> bool:
        """Whether that node is meant: all are unless some were named."""
        return not self.clients or client_id in self.clients

    def __str__(self) -> str:
        return f"run {self.tag} of session {self.session_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One node's part: the backup that its job made in the run."""

    client_id: str
    job: Mapping[str, Any]
    record: Mapping[str, Any]


def _restore(context: CommandContext) -> None:
    wish = _wish(context)
    session = found(context.freezer.sessions.get(context.session), "session", context.session)
    documents = [(part, _document(wish, part)) for part in _parts(context, wish, session)]
    made: list[tuple[_Part, str]] = []
    try:
        for part, document in documents:
            made.append((part, context.freezer.jobs.create(document)))
    finally:
        # What was made before one was refused has been made, and is told.
        if made:
            context.listing(_COLUMNS, [_told(*one) for one in made], _row)


def _wish(context: CommandContext) -> _Wish:
    """Raises CommandFailed for what is missing or makes no sense."""
    said = context.document or {}
    # Options make a job of one action, if of any.
    step: Mapping[str, Any] = next(iter(said.get("job_actions") or ()), {})
    options = dict(step.get("freezer_action") or {})
    tag = options.pop("session_tag", None)
    if tag is None:
        raise CommandFailed("Parameter --session-tag required: the number of the run")
    if not options.get("restore_abs_path"):
        raise CommandFailed("Parameter --restore-abs-path required: where each node restores to")
    for word, reason in _REFUSED.items():
        if word in options:
            raise CommandFailed(f"--{word.replace('_', '-')}: {reason}")
    return _Wish(
        session_id=context.session,
        tag=tag,
        backup_name=str(options.pop("backup_name", "")),
        options=options,
        rules={key: value for key, value in step.items() if key != "freezer_action"},
        schedule=said.get("job_schedule") or {},
        description=str(said.get("description") or ""),
        clients=frozenset(ids(context.client)) if context.client else frozenset(),
    )


_REFUSED = {
    "action": "this command restores; leave it out",
    "session_id": "the session is named by -s",
    "restore_from_date": "the run says what is restored, not a date",
    "hostname": "each node restores what itself backed up",
}


def _parts(context: CommandContext, wish: _Wish, session: Mapping[str, Any]) -> list[_Part]:
    """The part of each node that is meant. CommandFailed names every node that has none."""
    records = _records(context, wish)
    members = session.get("jobs") or {}
    jobs = {job_id: context.freezer.jobs.get(job_id) for job_id in {*members, *records}}
    holders = {job_id: _client_of(job_id, jobs, members, records) for job_id in jobs}
    wanted = {job_id: holder for job_id, holder in holders.items() if wish.wants(holder)}
    complaints = [f"client {name} has no job in it" for name in wish.clients - {*wanted.values()}]
    parts = []
    for job_id, holder in sorted(wanted.items(), key=lambda pair: (pair[1], pair[0])):
        job, own = jobs[job_id], records.get(job_id, [])
        if (reason := _hindrance(wish, job, own)) or job is None:
            complaints.append(f"job {job_id} of client {holder} {reason}")
        else:
            parts.append(_Part(client_id=holder, job=job, record=own[0]))
    if complaints:
        raise CommandFailed(
            f"Nothing is restored of {wish}: {'; '.join(sorted(complaints))}. Choose another "
            "--session-tag, or name the nodes that are to be restored with --client ID,ID"
        )
    if not parts:
        raise CommandFailed(f"Nothing is restored of {wish}: the session has no jobs")
    return parts


def _hindrance(
    wish: _Wish, job: Mapping[str, Any] | None, records: Sequence[Mapping[str, Any]]
) -> str:
    """Why the job's part cannot be restored; empty if it can."""
    if not records:
        named = f" {wish.backup_name!r}" if wish.backup_name else ""
        return f"made no backup{named} in that run"
    if job is None:
        return "was removed, and with it how its backup is reached"
    names = sorted({str(record.get("backup_name")) for record in records})
    if len(names) > 1:
        return f"made several backups ({', '.join(names)}): choose one with --backup-name"
    if not _backups_of(job):
        return "has no action any more that makes backups"
    return ""


def _records(context: CommandContext, wish: _Wish) -> dict[str, list[Mapping[str, Any]]]:
    """What the API knows of the run's backups, by job, the newest first."""
    listed = context.freezer.backups.list(
        match=[{"session_id": wish.session_id}, {"session_tag": wish.tag}]
    )
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for backup in listed:
        record = backup.get("backup_metadata") or {}
        # A search may also find the words elsewhere in a document.
        of_run = (record.get("session_id"), record.get("session_tag"))
        if of_run != (wish.session_id, wish.tag) or not record.get("job_id"):
            continue
        if wish.backup_name in ("", record.get("backup_name")):
            own = {**record, "client_id": record.get("client_id") or backup.get("client_id")}
            grouped.setdefault(str(record["job_id"]), []).append(own)
    for own_records in grouped.values():
        own_records.sort(key=lambda record: int(record.get("time_stamp") or 0), reverse=True)
    return grouped


def _client_of(
    job_id: str,
    jobs: Mapping[str, Mapping[str, Any] | None],
    members: Mapping[str, Any],
    records: Mapping[str, Sequence[Mapping[str, Any]]],
) -> str:
    places = (jobs.get(job_id), members.get(job_id), *records.get(job_id, ()))
    named = [place.get("client_id") for place in places if isinstance(place, Mapping)]
    return str(next(filter(None, named), "(unknown)"))


def _backups_of(job: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The options of the job's actions that make backups."""
    steps = [step.get("freezer_action") or {} for step in job.get("job_actions") or ()]
    return [options for options in steps if (options.get("action") or "backup") == "backup"]


def _document(wish: _Wish, part: _Part) -> dict[str, Any]:
    """The job that restores the part: reached as it was made, with the wish's options over that."""
    record = part.record
    maker = _maker(_backups_of(part.job), record)
    kept = {
        key: value
        for key, value in maker.items()
        if key not in _OF_THE_BACKUP_ALONE and not key.startswith(_OF_REMOVALS)
    }
    action = {
        **kept,
        "action": "restore",
        "backup_name": record.get("backup_name"),
        # Also on a machine that replaces the one that is gone, whose name may be another.
        "hostname": record.get("hostname"),
        "session_id": wish.session_id,
        "session_tag": wish.tag,
        **wish.options,
        "restore_abs_path": _place(str(wish.options["restore_abs_path"]), part),
    }
    document = {
        "client_id": part.client_id,
        "description": wish.description or f"restore {record.get('backup_name')} of {wish}",
        "job_actions": [{**wish.rules, "freezer_action": action}],
        "job_schedule": dict(wish.schedule),
    }
    return checked_job(document, part.client_id)


def _place(template: str, part: _Part) -> str:
    """The directory to restore into, which may differ from node to node."""
    words = {
        "{client_id}": part.client_id,
        "{hostname}": str(part.record.get("hostname")),
        "{backup_name}": str(part.record.get("backup_name")),
    }
    for word, value in words.items():
        # A value is one name below the directory, whatever is in it.
        template = template.replace(word, value.replace("/", "_"))
    return template


def _maker(candidates: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The action that made the backup: of several the one that agrees with it most."""
    words = ("backup_name", "path_to_backup", "container", "storage")
    return max(
        candidates,
        key=lambda options: [options.get(word) == record.get(word) for word in words],
    )


def _told(part: _Part, job_id: str) -> dict[str, Any]:
    record = part.record
    return {
        "client_id": part.client_id,
        "job_id": job_id,
        "backup_name": record.get("backup_name"),
        "hostname": record.get("hostname"),
        "time_stamp": record.get("time_stamp"),
        "level": record.get("curr_backup_level", record.get("level")),
    }


def _row(told: Mapping[str, Any]) -> Iterable[Any]:
    taken = from_epoch(int(told["time_stamp"] or 0)).astimezone()
    yield told["client_id"]
    yield told["job_id"]
    yield told["backup_name"]
    yield told["hostname"]
    yield taken.strftime("%Y-%m-%dT%H:%M:%S")
    yield told["level"]


COMMANDS = (
    Command(
        name="session-restore",
        help="Restore what each node of a session backed up in one of its runs.",
        act=_restore,
        needs=("session",),
        takes=("document", "client"),
    ),
)
