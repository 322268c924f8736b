"""freezer-manage: make, show, fill, copy and remove the document store.

Exit codes: 0 done; 1 the store cannot be used; 2 wrong arguments or configuration; 3 `db remove`
was not confirmed; 4 the two stores of `db migrate` cannot be one another's copy; 5 `db import-upstream`
left out rows that cannot become documents.
"""

import json
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from oslo_config import cfg

from freezer_api import conf as options
from freezer_api.assembly import store_from
from freezer_api.cli import transfers
from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import Contents, ManagedStore
from freezer_api.store.transfer import TransferRefused

if TYPE_CHECKING:
    from argparse import ArgumentParser

DONE = 0
STORE_UNAVAILABLE = 1
WRONG_REQUEST = 2
NOT_CONFIRMED = 3
REFUSED = 4


def main(
    argv: Sequence[str] | None = None,
    *,
    make_store: Callable[[cfg.ConfigOpts], ManagedStore] = store_from,
    ask: Callable[[str], str] = input,
) -> int:
    """Run the command of `argv` (default: the process's) and return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    # What libraries would log is in the error that ends the command.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        conf = options.load(arguments, prog="freezer-manage", cli_opts=[_commands()])
    except options.ConfigurationInvalid as error:
        return _complain(error, WRONG_REQUEST)
    except SystemExit as stop:  # argparse: wrong arguments, --help, --version
        return int(stop.code or DONE)
    try:
        return _carry_out(conf, make_store, ask)
    except cfg.Error as error:  # a value is parsed when it is first asked for
        return _complain(error, WRONG_REQUEST)
    except (StoreUnavailable, TransferRefused) as error:
        return _complain(
            error, REFUSED if isinstance(error, TransferRefused) else STORE_UNAVAILABLE
        )


def _carry_out(
    conf: cfg.ConfigOpts,
    make_store: Callable[[cfg.ConfigOpts], ManagedStore],
    ask: Callable[[str], str],
) -> int:
    transfer = transfers.command_of(conf.category)
    if transfer is not None:
        return transfer(conf, conf.category)
    with closing(make_store(conf)) as store:
        return _run(conf.category, store, ask)


def _commands() -> cfg.SubCommandOpt:
    return cfg.SubCommandOpt("category", title="categories", handler=_add_parsers)


def _add_parsers(categories: Any) -> None:
    database: ArgumentParser = categories.add_parser("db", help="the document store")
    commands = database.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("sync", help="make what is missing; nothing is lost")
    commands.add_parser("update", help="the same as sync")
    commands.add_parser(
        "upgrade",
        help="move the documents to this release's schema while the service runs; may be killed "
        "and run again",
    )
    transfers.add_parsers(commands)
    show = commands.add_parser("show", help="what there is: names, versions, documents")
    show.add_argument("--json", action="store_true", help="as JSON")
    remove = commands.add_parser("remove", help="remove every document, and the store itself")
    remove.add_argument("--yes", action="store_true", help="do not ask")


def _run(chosen: Any, store: ManagedStore, ask: Callable[[str], str]) -> int:
    match chosen.command:
        case "sync" | "update":
            store.prepare()
            _say("The document store is ready.", sys.stderr)
        case "upgrade":
            store.upgrade(lambda text: _say(text, sys.stderr))
            _say("The document store is up to date.", sys.stderr)
        case "show":
            _show(store.describe(), as_json=chosen.json)
        case "remove":
            return _remove(store, ask, confirmed=chosen.yes)
    return DONE


def _show(rows: list[Contents], *, as_json: bool) -> None:
    if as_json:
        _say(json.dumps([asdict(row) for row in rows], indent=2), sys.stdout)
        return
    if not rows:
        _say("The document store has not been made: `freezer-manage db sync` does.", sys.stderr)
        return
    width = max(len(row.name) for row in rows)
    _say(f"{'name':{width}}  version  documents", sys.stdout)
    for row in rows:
        _say(f"{row.name:{width}}  {row.version:>7}  {row.documents:>9}", sys.stdout)


def _remove(store: ManagedStore, ask: Callable[[str], str], *, confirmed: bool) -> int:
    documents = sum(row.documents for row in store.describe())
    if not confirmed and not _agrees(documents, ask):
        _say("Nothing was removed. Answer yes, or give --yes.", sys.stderr)
        return NOT_CONFIRMED
    store.remove()
    _say("The document store is removed.", sys.stderr)
    return DONE


def _agrees(documents: int, ask: Callable[[str], str]) -> bool:
    try:
        answer = ask(f"Remove the document store with its {documents} documents? [yes/no] ")
    except EOFError:  # nobody is there to ask
        return False
    return answer.strip().lower() in {"y", "yes"}


def _say(text: str, stream: TextIO) -> None:
    stream.write(f"{text}\n")


def _complain(error: Exception, code: int) -> int:
    _say(f"freezer-manage: {error}", sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
