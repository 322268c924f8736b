"""The commands of freezer-manage that move many documents: migrate, import-upstream, load.

Each may be killed and called again. Progress goes to stderr, the result to stdout.
"""

import json
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from freezer_api.assembly import portable_store_at
from freezer_api.errors import StoreUnavailable
from freezer_api.services import invented
from freezer_api.services.upstream_import import Result, Skipped, UpstreamImport
from freezer_api.store import transfer
from freezer_api.store.base import Collection
from freezer_api.store.transfer import PortableStore, Progress

if TYPE_CHECKING:
    from argparse import ArgumentParser

DONE = 0
INCOMPLETE = 5

_ADDRESS_HELP = (
    "`configured` (the store that the configuration names), `elasticsearch` (the cluster of the "
    "section [elasticsearch]), http[s]://[USER:PASSWORD@]HOST:PORT[/INDEX_PREFIX] of a cluster, "
    "the SQLAlchemy URL of a database, or @FILE: the first line of a "
    "file, which keeps a password out of the list of processes"
)
_TOLD_SECONDS = 2.0
_MOST_TOLD = 100
"""Skipped rows that are printed one by one; all of them with --json."""


def add_parsers(commands: Any) -> None:
    """Add the commands to those of `freezer-manage db`."""
    migrate: ArgumentParser = commands.add_parser(
        "migrate", help="copy all documents from one store to another, and compare them"
    )
    migrate.add_argument(
        "--from", dest="source", metavar="STORE", required=True, help=_ADDRESS_HELP
    )
    migrate.add_argument("--to", dest="target", metavar="STORE", required=True, help="the same")
    upstream: ArgumentParser = commands.add_parser(
        "import-upstream",
        help="take the documents of an SQL database of freezer-api 19.0.0 into the configured store",
    )
    upstream.add_argument(
        "--from",
        dest="source",
        metavar="URL",
        required=True,
        help="the database's SQLAlchemy URL, or @FILE; it is only read",
    )
    upstream.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    upstream.add_argument("--json", action="store_true", help="the result as JSON")
    load: ArgumentParser = commands.add_parser(
        "load", help="fill the configured store with invented documents, to test it at a size"
    )
    amounts = invented.Amounts()
    for name in ("projects", "clients", "jobs", "backups"):
        default = getattr(amounts, name)
        load.add_argument(
            f"--{name}", type=_amount, default=default, help=f"how many (default: {default})"
        )


def command_of(chosen: Any) -> Callable[[cfg.ConfigOpts, Any], int] | None:
    """The function that runs the chosen command, None if it is none of these."""
    return _COMMANDS.get(chosen.command)


def _migrate(conf: cfg.ConfigOpts, chosen: Any) -> int:
    if _address(chosen.source) == _address(chosen.target):
        raise StoreUnavailable("--from and --to name the same store: there is nothing to copy")
    with (
        closing(portable_store_at(_address(chosen.source), conf)) as source,
        closing(portable_store_at(_address(chosen.target), conf)) as target,
    ):
        if not source.ready():
            raise StoreUnavailable(
                "The store to copy from cannot be reached, has not been made or is of another "
                "release: `freezer-manage db sync` with a configuration that names it tells more"
            )
        target.prepare()
        summaries = transfer.copy(source, target, _Told(_expected(source)))
    for collection, summary in summaries.items():
        _say(f"{collection:10}  {summary.documents:>10} documents  digest {summary.digest}")
    _note("Every document is there, with its version and in its order.")
    return DONE


def _import_upstream(conf: cfg.ConfigOpts, chosen: Any) -> int:
    # Only here: the library may not be installed.
    from freezer_api.store.upstream_sql import UpstreamDatabase, UpstreamTable  # noqa: PLC0415

    with UpstreamDatabase(_address(chosen.source)) as database:

        def rows(table: str) -> Any:
            return database.rows(UpstreamTable(table))

        if chosen.dry_run:
            result = UpstreamImport(rows, None, _Told({})).run()
        else:
            with closing(portable_store_at("configured", conf)) as target:
                target.prepare()
                result = UpstreamImport(rows, target, _Told({})).run()
    _tell_result(result, as_json=chosen.json, dry_run=chosen.dry_run)
    return INCOMPLETE if result.skipped else DONE


def _load(conf: cfg.ConfigOpts, chosen: Any) -> int:
    amounts = invented.Amounts(
        projects=max(1, chosen.projects),
        clients=chosen.clients,
        jobs=chosen.jobs,
        backups=chosen.backups,
    )
    expected = {
        Collection.CLIENTS: amounts.clients,
        Collection.ACTIONS: amounts.jobs,
        Collection.JOBS: amounts.jobs,
        Collection.BACKUPS: amounts.backups,
    }
    started = time.monotonic()
    written = 0
    with closing(portable_store_at("configured", conf)) as target:
        target.prepare()
        told = _Told(expected)
        for collection in expected:
            documents = invented.documents_of(collection, amounts)
            written += transfer.fill(target, collection, documents, told)
    seconds = max(time.monotonic() - started, 0.001)
    _say(f"{written} documents written, {written / seconds:.0f} a second")
    return DONE


_COMMANDS: dict[str, Callable[[cfg.ConfigOpts, Any], int]] = {
    "migrate": _migrate,
    "import-upstream": _import_upstream,
    "load": _load,
}


class _Told:
    """Tells how far a command is: at most every two seconds, and at the end of a collection."""

    def __init__(self, expected: dict[Collection, int]) -> None:
        self._expected = expected
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        expected = self._expected.get(progress.collection)
        now = time.monotonic()
        if now < self._next and progress.seen != expected:
            return
        self._next = now + _TOLD_SECONDS
        of_all = f" of {expected}" if expected is not None else ""
        _note(f"{progress.collection}: {progress.seen}{of_all} read, {progress.written} written")


def _expected(store: PortableStore) -> dict[Collection, int]:
    rows = store.describe()
    found = {}
    for collection in Collection:
        for row in rows:
            if str(collection) in row.name:
                found[collection] = row.documents
    return found


def _tell_result(result: Result, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        _say(json.dumps(_as_json(result), indent=2))
        return
    would = "would be written" if dry_run else "written"
    for table in result.read:
        _say(
            f"{table:10}  {result.read[table]:>8} read  {result.written[table]:>8} {would}  "
            f"{result.present[table]:>8} there already  {result.deleted[table]:>8} deleted before"
        )
    _list("changed", result.changed)
    _list("SKIPPED", result.skipped)


def _list(word: str, rows: list[Skipped]) -> None:
    for row in rows[:_MOST_TOLD]:
        _say(f"{word}: {row.table} {row.row_id}: {row.reason}")
    if len(rows) > _MOST_TOLD:
        _say(f"{word}: {len(rows) - _MOST_TOLD} more; --json lists them all")


def _as_json(result: Result) -> dict[str, Any]:
    counts = ("read", "deleted", "written", "present")
    lists = ("skipped", "changed")
    return {
        **{name: dict(getattr(result, name)) for name in counts},
        **{
            name: [
                {"table": row.table, "id": row.row_id, "reason": row.reason}
                for row in getattr(result, name)
            ]
            for name in lists
        },
    }


def _address(given: str) -> str:
    """The address itself, or the first line of the file that `@FILE` names."""
    if not given.startswith("@"):
        return given
    try:
        lines = Path(given[1:]).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"{given[1:]} cannot be read for the address of a store") from error
    return lines[0].strip() if lines else ""


def _amount(text: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise ArgumentTypeError(f"{text!r} is no whole number of 0 or more")
    return int(text)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")
