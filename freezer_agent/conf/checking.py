"""Turn options into a request, or say everything that is wrong with them at once."""

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from freezer_agent.conf.container_checking import refuse_target, refuse_twins
from freezer_agent.conf.encryption_checking import refuse_rekeying, to_encryption, to_rekey
from freezer_agent.conf.later_features import later_features
from freezer_agent.conf.options import Options, without_password
from freezer_agent.conf.places import Places
from freezer_agent.conf.storage_checking import StorageChecker
from freezer_agent.errors import RequestInvalid
from freezer_agent.requests import (
    BackupRequest,
    CommandRequest,
    Compression,
    Dereference,
    FilesRequest,
    InfoRequest,
    KeepRules,
    LevelRules,
    ListRequest,
    PruneRequest,
    RekeyRequest,
    RemovalRule,
    Request,
    Requirement,
    RestoreRequest,
    SessionRun,
    SetFilter,
    SetName,
    SeveralRequest,
    SingleRequest,
    VerifyRequest,
)
from freezer_agent.storage_choices import NamedStorage, StorageChoice, local_directories
from freezer_model.instants import in_zone, parse_instant

_REMOVAL_OPTIONS = ("remove_older_than", "remove_before_date", "remove_from_date")
_MOST_NAME_BYTES = 255
_KEPT = ("last", "hourly", "daily", "weekly", "monthly", "yearly", "within")
_TEMPLATE_WORD = re.compile(r"\{([^{}]*)\}")
_CHECKSUM = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a request depends on besides its options: where and in which environment it starts."""

    start: Path
    host: str
    home: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def to_request(options: Options, around: Surroundings) -> Request:
    """The request that the options mean. RequestInvalid carries every reason against them."""
    return _Checker(options, around).request()


class _Checker:
    """Collects reasons while it reads the options of one action."""

    def __init__(self, options: Options, around: Surroundings) -> None:
        self._options = options
        self._around = around
        self._places = Places(start=around.start, home=around.home)
        self._reasons: list[str] = []
        self._storages: list[NamedStorage] = []

    def request(self) -> Request:
        makers: dict[str, Callable[[], SingleRequest]] = {
            "backup": self._backup,
            "restore": self._restore,
            "admin": self._rekey if self._options["rekey"] else self._prune,
            "info": self._info,
            "list": self._list,
            "files": self._files,
            "verify": self._verify,
            "exec": self._command,
        }
        action = self._options["action"]
        self._reasons += later_features(self._options)
        if action != "exec":
            self._refuse_endless_limits()
        request = makers[action]()
        if not isinstance(request, RekeyRequest):
            refuse_rekeying(self._options, self._reasons)
        self._check_report_place()
        if self._reasons:
            raise RequestInvalid(self._reasons)
        return request if isinstance(request, CommandRequest) else self._for_all(request)

    def _for_all(self, request: SingleRequest) -> Request:
        """The request as it is for one storage, or for each section of several."""
        if not self._options.storages:
            return request
        return SeveralRequest(
            request=request,
            storages=tuple(self._storages),
            requirement=Requirement(self._options["require_storages"]),
            queue_size=self._options["queue_size"],
            spool_bytes=max(0, self._options["spool_limit"]),
            stalled_seconds=self._options["stall_timeout"],
        )

    def _backup(self) -> BackupRequest:
        options = self._options
        storage, source = self._storage(), self._source()
        containers = local_directories([storage, *(one.choice for one in self._storages)])
        if source in containers and options["path_to_backup"]:
            self._reasons.append(f"{str(source)!r} cannot be backed up into itself")
        return BackupRequest(
            storage=storage,
            set_name=self._set_name(),
            source=source,
            compression=Compression(options["compression"]),
            levels=self._levels(),
            encryption=to_encryption(options, self._places, self._reasons),
            excludes=tuple(options["exclude"] or ()),
            dereference=Dereference(options["dereference_symlink"] or "none"),
            sync=options["sync"],
            with_checksum=options["consistency_check"],
            removal=self._removal(),
            queue_size=options["queue_size"],
            dry_run=options["dry_run"],
            session=self._session_run(),
            facts=_facts(options),
        )

    def _restore(self) -> RestoreRequest:
        options = self._options
        if not options["restore_abs_path"]:
            self._reasons.append("action restore needs --restore-abs-path, where to restore to")
        checksum = options["consistency_checksum"]
        if checksum and not _CHECKSUM.fullmatch(checksum):
            self._reasons.append("--consistency-checksum takes 64 hexadecimal digits")
        target = self._path(options["restore_abs_path"] or ".")
        if target.exists() and not target.is_dir():
            self._reasons.append(f"--restore-abs-path {str(target)!r} is no directory")
        storage = self._storage()
        refuse_target(
            target,
            [one.choice for one in self._storages] or [storage],
            self._reasons,
            aside=options["restore_aside"],
        )
        return RestoreRequest(
            storage=storage,
            set_name=self._set_name(),
            target=target,
            at=self._instant("restore_from_date"),
            session=self._session_to_restore(),
            overwrite=options["overwrite"],
            encryption=to_encryption(options, self._places, self._reasons),
            checksum=checksum,
            excludes=tuple(options["exclude"] or ()),
            dereference=Dereference(options["dereference_symlink"] or "none"),
            includes=self._includes(),
            removal=self._removal(),
            dry_run=options["dry_run"],
            aside=options["restore_aside"],
        )

    def _includes(self) -> tuple[str, ...]:
        includes = tuple(self._options["include"] or ())
        if includes and self._options["consistency_checksum"]:
            self._reasons.append(
                "--consistency-checksum is that of everything: leave --include out"
            )
        if includes and self._options["restore_aside"]:
            self._reasons.append(
                "--restore-aside takes the place of everything: leave it or --include out"
            )
        return includes

    def _files(self) -> FilesRequest:
        return FilesRequest(
            storage=self._storage(),
            set_name=self._set_name(),
            at=self._instant("restore_from_date"),
            session=self._session_to_restore(),
            encryption=to_encryption(self._options, self._places, self._reasons),
            includes=self._includes(),
        )

    def _session_to_restore(self) -> SessionRun | None:
        session = self._session_run()
        if session is not None and self._options["restore_from_date"]:
            self._reasons.append("--restore-from-date and --session-tag exclude each other")
        return session

    def _session_run(self) -> SessionRun | None:
        session_id, tag = self._options["session_id"], self._options["session_tag"]
        if not session_id and tag is None:
            return None
        if not session_id or tag is None:
            self._reasons.append("--session-id and --session-tag go together")
            return None
        return SessionRun(session_id=session_id, tag=tag)

    def _list(self) -> ListRequest:
        return ListRequest(storage=self._storage(), wanted=self._filter())

    def _verify(self) -> VerifyRequest:
        return VerifyRequest(
            storage=self._storage(),
            wanted=self._filter(),
            encryption=to_encryption(self._options, self._places, self._reasons),
            share=self._options["read_data"],
            dry_run=self._options["dry_run"],
        )

    def _filter(self) -> SetFilter:
        """Everything that is there, unless a host, a name or a time is asked for."""
        options = self._options
        return SetFilter(
            host=options["hostname"] or None,
            name=self._set_name().name if options.is_given("backup_name") else None,
            since=self._instant("since"),
            until=self._instant("until"),
        )

    def _prune(self) -> PruneRequest:
        removal = self._removal()
        if removal is None:
            named = ", ".join(f"--{name.replace('_', '-')}" for name in _REMOVAL_OPTIONS)
            keeping = ", ".join(f"--keep-{word}" for word in _KEPT)
            self._reasons.append(f"action admin needs one of {named}, {keeping}")
            removal = RemovalRule(older_than=timedelta.max)
        return PruneRequest(
            storage=self._storage(),
            set_name=self._set_name(),
            removal=removal,
            dry_run=self._options["dry_run"],
        )

    def _rekey(self) -> RekeyRequest:
        if self._removal() is not None:
            self._reasons.append("--rekey removes no backups: do one after the other")
        storage, set_name = self._storage(), self._set_name()
        return to_rekey(self._options, self._places, storage, set_name, self._reasons)

    def _info(self) -> InfoRequest:
        if not self._options.is_given("container") and self._options["storage"] == "local":
            self._reasons.append(
                "storage local has no list of its containers: give the directory as --container",
            )
        return InfoRequest(
            storage=self._storage(),
            list_backups=self._options["list"],
            only_named=self._options.is_given("container") or bool(self._options.storages),
        )

    def _command(self) -> CommandRequest:
        options = self._options
        return CommandRequest(
            pipeline=self._pipeline(options["command"]),
            timeout_seconds=options["timeout"] if options.is_given("timeout") else None,
            dry_run=options["dry_run"],
        )

    def _pipeline(self, command: str | None) -> tuple[tuple[str, ...], ...]:
        if not command or not command.strip():
            self._reasons.append("action exec needs --command, what to run")
            return ()
        try:
            commands = [tuple(shlex.split(part)) for part in split_at_pipes(command)]
        except ValueError:
            self._reasons.append(f"--command has a quote that does not end: {command}")
            return ()
        if not all(commands):
            self._reasons.append(
                "--command is a pipeline with an empty part; || is no pipeline: no shell runs it",
            )
        return tuple(commands)

    def _storage(self) -> StorageChoice:
        """The storage; with sections of several ones the first of them."""
        sections = self._options.storages
        if not sections:
            return self._checked(self._options, "")
        self._storages = [
            NamedStorage(name=name, choice=self._checked(options, f"storage:{name}"))
            for name, options in sections.items()
        ]
        if not self._reasons:  # what is wrong may look alike
            refuse_twins(self._storages, self._reasons)
        return self._storages[0].choice

    def _checked(self, options: Options, where: str) -> StorageChoice:
        return StorageChecker(
            options,
            places=self._places,
            environment=self._around.environment,
            reasons=self._reasons,
            where=where,
        ).choice()

    def _refuse_endless_limits(self) -> None:
        for name in ("upload_limit", "download_limit"):
            if self._options[name] == 0:
                self._reasons.append(
                    f"--{name.replace('_', '-')} 0 would never end: -1 is no limit",
                )

    def _check_report_place(self) -> None:
        given = self._options["metadata_out"]
        if not given or given == "-":
            return
        path = self._path(given)
        if not path.parent.is_dir():
            self._reasons.append(f"--metadata-out {given!r}: there is no such directory")
        elif path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            self._reasons.append(f"--metadata-out {given!r} cannot be written by this user")

    def _set_name(self) -> SetName:
        options = self._options
        host = options["hostname"] or self._around.host
        template = options["backup_name"] or ""
        words = {
            "mode": options["mode"],
            "backup_media": "fs",
            "storage": options["storage"],
            "container": options["container"],
            "project_id": options["project_id"] or "",
            "resource_id": host,
            "hostname": host,
        }
        name = expand_name(template, words)
        parts = f"{host}_{name}".split("/")
        if not template or any(part in {"", ".", ".."} for part in parts) or "\0" in name:
            self._reasons.append(
                f"the backup name {name!r} cannot be stored: --backup-name takes a name without "
                'empty parts, "." or ".." between its slashes',
            )
        if any(len(os.fsencode(part)) > _MOST_NAME_BYTES for part in parts):
            self._reasons.append(
                f"--hostname and --backup-name have more than {_MOST_NAME_BYTES} bytes together, "
                "which file systems do not take: give a shorter name",
            )
        if "/" in host or not host:
            self._reasons.append(f"--hostname {host!r} is no name of a host")
        return SetName(host=host, name=name, other_name=template if template != name else None)

    def _source(self) -> Path:
        given = self._options["path_to_backup"]
        if not given:
            self._reasons.append("action backup needs --path-to-backup, what to back up")
            return self._around.start
        path = self._path(given)
        if not path.exists():
            self._reasons.append(f"--path-to-backup {str(path)!r} does not exist")
        elif not os.access(path, os.R_OK):
            self._reasons.append(f"--path-to-backup {str(path)!r} cannot be read by this user")
        return Path(os.path.realpath(path))

    def _level_options(self) -> list[str]:
        names = ("max_level", "always_level", "restart_always_level")
        return [f"--{name.replace('_', '-')}" for name in names if self._options[name]]

    def _levels(self) -> LevelRules:
        options, wanted = self._options, self._level_options()
        if options["incremental"]:
            wanted.append("--incremental")
        if wanted and options["no_incremental"]:
            self._reasons.append(f"--no-incremental contradicts {', '.join(wanted)}")
        elif wanted and options.is_given("incremental") and not options["incremental"]:
            self._reasons.append(
                f"{', '.join(wanted)} makes incremental backups, which --noincremental forbids",
            )
        days = options["restart_always_level"]
        return LevelRules(
            incremental=bool(wanted),
            max_level=options["max_level"] or None,
            always_level=options["always_level"] or None,
            restart_after=self._days(days, "restart_always_level") if days else None,
            keep_state=not options["no_incremental"],
        )

    def _removal(self) -> RemovalRule | None:
        options = self._options
        given = [name for name in _REMOVAL_OPTIONS if options[name] is not None]
        if len(given) > 1:
            named = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            self._reasons.append(f"{named} say the same thing twice: give one of them")
        keep = KeepRules(**{name: options[f"keep_{name}"] for name in _KEPT})
        if not given and keep == KeepRules():
            return None
        days = options["remove_older_than"]
        return RemovalRule(
            older_than=self._days(days, "remove_older_than") if days is not None else None,
            before=self._instant("remove_before_date") or self._instant("remove_from_date"),
            keep=keep,
            force=options["force"],
        )

    def _days(self, days: float, name: str) -> timedelta:
        try:
            span = timedelta(days=days)
        except (OverflowError, ValueError):
            span = timedelta.max
        if not timedelta(0) <= span <= timedelta(days=36500):
            self._reasons.append(f"--{name.replace('_', '-')} takes 0 to 36500 days, not {days}")
            return timedelta(0)
        return span

    def _instant(self, name: str) -> datetime | None:
        text = self._options[name]
        if not text:
            return None
        try:
            return in_zone(_parsed(text.strip().replace(" ", "T")))
        except (ValueError, OverflowError):
            self._reasons.append(
                f"--{name.replace('_', '-')} takes a date of the form YYYY-MM-DDThh:mm:ss (local "
                f"time unless a zone follows), not {text!r}",
            )
            return None

    def _path(self, text: str) -> Path:
        return self._places.path(text)


def _parsed(text: str) -> datetime:
    """The form that is documented, or any other of ISO 8601 that 19.0.0 took."""
    with contextlib.suppress(ValueError):
        return parse_instant(text)
    return parse_instant(datetime.fromisoformat(text).isoformat())


def expand_name(template: str, words: Mapping[str, str]) -> str:
    """The template with its words filled in; as it is if it has a word that nobody knows."""
    if any(word not in words for word in _TEMPLATE_WORD.findall(template)):
        return template
    return _TEMPLATE_WORD.sub(lambda match: words[match[1]], template)


def split_at_pipes(command: str) -> list[str]:
    """The parts between the | of a command line that are neither quoted nor escaped."""
    parts, quote, escaped = [""], "", False
    for char in command:
        if char == "|" and not quote and not escaped:
            parts.append("")
            continue
        if not escaped and char in {"'", '"'} and quote in {"", char}:
            quote = "" if quote else char
        escaped = char == "\\" and not escaped and quote != "'"
        parts[-1] += char
    return parts


def _facts(options: Options) -> dict[str, Any]:
    """The words of the options that a backup's report repeats, "" for what nobody set."""
    names = (
        "always_level",
        "cinder_vol_id",
        "cinderbrick_vol_id",
        "cindernative_backup_az",
        "cindernative_backup_container",
        "cindernative_vol_id",
        "container",
        "engine_name",
        "glance_image_id",
        "log_file",
        "max_level",
        "mode",
        "nova_inst_id",
        "path_to_backup",
        "ssh_host",
        "ssh_key",
        "ssh_port",
        "ssh_username",
        "storage",
    )
    facts = {name: "" if options[name] is None else options[name] for name in names}
    if options["backup_id"]:
        facts["backup_id"] = options["backup_id"]
    facts["backup_media"] = "fs"
    facts["cli"] = options.command_line
    facts["proxy"] = without_password(options["proxy"] or "")
    return facts
