"""Write the report of a run: JSON for programs, a table for people."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from freezer_agent.actions.base import Report
from freezer_agent.errors import AgentError


def write_report(
    report: Report,
    metadata_out: str | None,
    start: Path,
    stdout: TextIO,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """To the place of --metadata-out ("-" is standard output), else as a table or JSON there.

    A restore or a command prints nothing unless asked, as in all earlier releases; a `quiet` run
    prints what it was asked for, such as a listing, and not how it went.
    """
    with printing(stdout):
        if metadata_out or as_json:
            _write_json(report.document, metadata_out, start, stdout, as_json=as_json)
        elif report.table is not None:
            stdout.write(_table(report.table.columns, report.table.rows))
        elif not quiet and not _is_silent(report.document):
            stdout.write(_table(("Property", "Value"), _properties(report.document)))
        stdout.flush()


def _is_silent(document: Mapping[str, Any]) -> bool:
    """A dry restore is run for what it tells."""
    action = document.get("action")
    return action == "exec" or (action == "restore" and not document.get("dry_run"))


@contextlib.contextmanager
def printing(stdout: TextIO) -> Iterator[None]:
    """A reader that has seen enough, as `head` has, is no failure; a full disk is one."""
    try:
        yield
    except BrokenPipeError:
        _drop_the_rest(stdout)
    except OSError as error:
        _drop_the_rest(stdout)
        raise AgentError(
            f"the action is done, but its report cannot be printed: {error.strerror}",
        ) from error


def _drop_the_rest(stdout: TextIO) -> None:
    """What is left in the buffer would fail once more when the process ends."""
    with contextlib.suppress(OSError):  # it may be no file at all
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, stdout.fileno())
        os.close(nowhere)


def write_failure(
    document: Mapping[str, Any],
    metadata_out: str | None,
    start: Path,
    stdout: TextIO,
    *,
    as_json: bool,
) -> None:
    """Where the report would have gone, if programs were to read it. Never fails.

    The run has failed already, and that has been told: a full disk is no more news.
    """
    if metadata_out or as_json:
        with contextlib.suppress(AgentError, OSError, ValueError):
            _write_json(document, metadata_out, start, stdout, as_json=as_json)
            stdout.flush()


def _write_json(
    document: Mapping[str, Any],
    metadata_out: str | None,
    start: Path,
    stdout: TextIO,
    *,
    as_json: bool,
) -> None:
    if as_json and metadata_out in {None, "", "-"}:
        stdout.write(json.dumps(document, sort_keys=True) + "\n")
        return
    text = json.dumps(_metadata(document), sort_keys=True)
    if metadata_out == "-":
        stdout.write(text)
    elif metadata_out:
        _write_file(start / metadata_out, text)


def _metadata(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What --metadata-out gets: schedulers of 19.0.0 post whatever has an action as a backup."""
    if document.get("action") == "backup":
        return document
    return {name: value for name, value in document.items() if name != "action"}


def _write_file(path: Path, text: str) -> None:
    """For the user alone: the report names files."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123  # a descriptor
            file.write(text)
    except OSError as error:
        raise AgentError(
            f"the action is done, but its report cannot be written to {str(path)!r}: "
            f"{error.strerror}",
        ) from error


def _properties(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What has a value, sorted by name, with blanks for underscores."""
    return [
        (name.replace("_", " "), _cell(value))
        for name, value in sorted(document.items())
        if value not in ("", None, [], {})
    ]


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    if isinstance(value, Sequence):
        return ", ".join(str(one) for one in value)
    return str(value)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    shown = [[_plain(cell) for cell in row] for row in rows]
    widths = [
        max([len(title), *(len(row[position]) for row in shown)])
        for position, title in enumerate(columns)
    ]
    line = "+" + "+".join("-" * (width + 2) for width in widths) + "+\n"
    return line + _row(columns, widths) + line + "".join(_row(row, widths) for row in shown) + line


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    filled = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(filled) + " |\n"


def _plain(cell: str) -> str:
    """One line, without characters that drive a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cell)
