"""What a client command is, and what it is given. No options library, no process: plain values."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from freezer_client.api import Freezer
from freezer_model.errors import FreezerError
from freezer_scheduler.tables import render_table

DONE = 0
FAILED = 70
"""EX_SOFTWARE of sysexits.h: what these commands have always returned."""
CANNOT_REGISTER = 73
"""EX_CANTCREAT."""


LIST_OPTIONS = ("status", "result", "search", "sort", "reverse", "limit", "offset", "watch")
"""The options that choose what a list shows."""


class CommandFailed(FreezerError):
    """A client command could not do what it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """What a command may use: the API, who we are, where to print, and the values of options.

    `client_id` is the one of `-c`, or the node's own. `registration` is what `register` sends
    besides it: host name, what the node is able to run, whether it is central.
    """

    freezer: Freezer
    client_id: str
    out: TextIO
    err: TextIO
    file: str = ""
    document: Mapping[str, Any] | None = None
    """A job that was said in options, in place of a file."""
    job: str = ""
    session: str = ""
    client: str = ""
    backup: str = ""
    jobs_dir: str = ""
    active_only: bool = False
    all: bool = False
    long: bool = False
    as_json: bool = False
    status: str = ""
    result: str = ""
    search: str = ""
    sort: str = ""
    reverse: bool = False
    limit: int | None = None
    offset: int = 0
    watch: float | None = None
    """Every so many seconds the list is shown again; None: once."""
    registration: Mapping[str, Any] = field(default_factory=dict)

    def say(self, text: str, document: Any) -> None:
        """Print the sentence, or the document for machines."""
        if self.as_json:
            self.show(document)
        else:
            print(text, file=self.out)

    def show(self, document: Any) -> None:
        """Print a document."""
        print(json.dumps(document, indent=4), file=self.out)

    def listing(
        self,
        columns: Sequence[str],
        documents: Sequence[Any],
        row: Callable[[Any], Iterable[Any]],
    ) -> None:
        """Print one row per document, or the documents themselves for machines."""
        if self.as_json:
            self.show(documents)
        else:
            print(render_table(columns, [tuple(row(item)) for item in documents]), file=self.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of the API client.

    `needs` names the options (fields of CommandContext) without which it does nothing, `takes`
    those that it understands besides.
    """

    name: str
    help: str
    act: Callable[[CommandContext], None]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    failure_code: int = FAILED

    def run(self, context: CommandContext) -> int:
        """Do it and return the exit code; what went wrong is one line on `context.err`."""
        for option in self.needs:
            if not getattr(context, option):
                print(f"ERROR Parameter --{option.replace('_', '-')} required", file=context.err)
                return FAILED
        for option in LIST_OPTIONS:
            # A filter that nobody applies would pass off all documents as the wanted ones.
            if getattr(context, option) and option not in self.takes:
                print(f"ERROR {self.name} takes no --{option}", file=context.err)
                return FAILED
        try:
            self.act(context)
        except FreezerError as error:
            print(f"ERROR {error}", file=context.err)
            return self.failure_code
        return DONE


def found(document: Mapping[str, Any] | None, kind: str, wanted: str) -> Mapping[str, Any]:
    """The document, which must be there."""
    if document is None:
        raise CommandFailed(f"There is no {kind} {wanted!r} in this project.")
    return document


def ids(text: str) -> list[str]:
    """The ids of a comma separated list; none is an error."""
    named = [part.strip() for part in text.split(",") if part.strip()]
    if not named:
        raise CommandFailed(f"{text!r} names no id.")
    return named
