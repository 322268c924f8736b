"""Statements that are put together once and then only run.

The library needs half a millisecond to build and look up a search, four times what the database
needs to carry it out. So a statement is compiled once for each dialect, with a name for every
value, and its text goes to the driver as it is. Results are the driver's: numbers, texts, bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect
from sqlalchemy.sql.expression import ClauseElement


class Prepared:
    """A statement whose values have names (`bindparam`). Constants may be part of it."""

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._texts: dict[str, _Text] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> "CursorResult[Any]":
        """Run it with these values; names that it does not have are left out."""
        text = self._text(connection.dialect)
        return connection.exec_driver_sql(text.text, text.arranged(values))

    def run_for_each(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run it for each row; returns how many rows of the table it touched."""
        text = self._text(connection.dialect)
        arranged: Any = [text.arranged(row) for row in rows]
        return connection.exec_driver_sql(text.text, arranged).rowcount if arranged else 0

    def _text(self, dialect: Dialect) -> "_Text":
        text = self._texts.get(dialect.name)
        if text is None:
            columns = list(self._columns) if self._columns is not None else None
            compiled: Any = self._statement.compile(dialect=dialect, column_keys=columns)
            text = self._texts[dialect.name] = _Text(
                text=str(compiled),
                names=tuple(compiled.positiontup) if compiled.positional else None,
                constants={
                    name: value for name, value in compiled.params.items() if value is not None
                },
            )
        return text


class _Text:
    """A statement in the words of one dialect."""

    def __init__(
        self, *, text: str, names: tuple[str, ...] | None, constants: Mapping[str, Any]
    ) -> None:
        self.text = text
        self._names = names
        self._constants = constants

    def arranged(self, values: Mapping[str, Any]) -> Any:
        """The values in the form that the driver takes."""
        if self._constants:
            values = {**self._constants, **values}
        if self._names is None:
            return values
        return tuple([values[name] for name in self._names])
