"""Which documents of a list are shown, and in which order: filter, sort, page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from freezer_client.listing import SMALLEST_SERVER_LIMIT, Document
from freezer_scheduler.commands.base import CommandContext, CommandFailed

Row = Callable[[Mapping[str, Any]], Iterable[Any]]
Conditions = Sequence[Mapping[str, Any]]

PAGED = ("search", "sort", "reverse", "limit", "offset", "watch")
"""The options that every list understands."""


class Read(Protocol):
    """A list call of the client."""

    def __call__(
        self,
        *,
        match: Conditions,
        match_not: Conditions,
        search: str | None,
        limit: int | None,
        offset: int,
    ) -> list[Document]:
        """One page, or without `limit` all that fit."""
        ...


def print_selected(
    context: CommandContext,
    read: Read,
    columns: Sequence[str],
    row: Row,
    *,
    match: Conditions = (),
    match_not: Conditions = (),
    values: Mapping[str, Callable[[Mapping[str, Any]], Any]] | None = None,
) -> None:
    """Read and print what the options choose.

    `values` has what to sort by in columns whose text does not sort as it reads (sizes). Raises
    CommandFailed for a column that is not there, before anybody is asked.
    """
    by = _sort_value(context, columns, row, values or {})
    words = [
        {name: getattr(context, name)} for name in ("status", "result") if getattr(context, name)
    ]
    # Only what is sorted here has to be read whole; so has a page that a server might cut.
    is_small = context.limit is not None and context.limit <= SMALLEST_SERVER_LIMIT
    here = by is not None or context.reverse or not is_small
    documents = read(
        match=[*match, *words],
        match_not=match_not,
        search=context.search or None,
        limit=None if here else context.limit,
        offset=0 if here else context.offset,
    )
    context.listing(columns, ordered(context, documents, by) if here else documents, row)


def ordered(
    context: CommandContext,
    documents: Sequence[Document],
    by: Callable[[Mapping[str, Any]], Any] | None = None,
) -> list[Document]:
    """The page of all documents that the options mean."""
    chosen = list(documents)
    if by is not None:
        chosen.sort(key=lambda document: _rank(by(document)))
    if context.reverse:
        chosen.reverse()
    end = None if context.limit is None else context.offset + context.limit
    return chosen[context.offset : end]


def _sort_value(
    context: CommandContext,
    columns: Sequence[str],
    row: Row,
    values: Mapping[str, Callable[[Mapping[str, Any]], Any]],
) -> Callable[[Mapping[str, Any]], Any] | None:
    if not context.sort:
        return None
    names = [_plain(column) for column in columns]
    if (wanted := _plain(context.sort)) not in names:
        raise CommandFailed(
            f"--sort {context.sort}: there is no such column; choose one of {', '.join(names)}."
        )
    position = names.index(wanted)

    def cell(document: Mapping[str, Any]) -> Any:
        return tuple(row(document))[position]

    return values.get(columns[position]) or cell


def _plain(column: str) -> str:
    return column.strip("# ").lower().replace(" ", "_").replace("-", "_")


def _rank(value: Any) -> tuple[int, float, str]:
    """Nothing first, then numbers by size, then texts; documents of others hold anything."""
    if value is None or value == "":
        return (0, 0.0, "")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63:
        return (1, float(value), "")
    return (2, 0.0, str(value).casefold())
