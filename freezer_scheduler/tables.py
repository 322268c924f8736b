"""Rows as the bordered table of text that the client commands have always printed."""

from collections.abc import Iterable, Sequence
from typing import Any


def render_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The table without a newline at its end; None becomes an empty cell.

    Whatever a terminal would obey instead of show is replaced: names and descriptions come from
    other people.
    """
    # Loading it takes longer than asking the API; only those who see a table pay for it.
    from prettytable import PrettyTable  # noqa: PLC0415

    table = PrettyTable(list(columns))
    table.add_rows([[_cell(value) for value in row] for row in rows])
    return table.get_string()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)
