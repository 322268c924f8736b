"""How the SQL store finds documents: statements over the lists of documents that terms are.

A search walks the shortest list that it can and looks the other conditions up. In order of time it
sorts a short list; a long one it leaves, and walks the collection's index of times instead.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    literal,
    or_,
    select,
)

from freezer_api.store.base import BY_CREATION, COUNTED, Collection, Order, Page, Scope, SortKey
from freezer_api.store.leaves import Conditions, collection_term, scope_terms
from freezer_api.store.sql_keys import keys_of
from freezer_api.store.sql_schema import documents, terms
from freezer_api.store.sql_statements import Prepared

_FARTHEST = 2**62  # windows are cut to the integers that databases know
_APART = 16
"""Lists that are looked up one by one."""
_SHAPES = 256
"""Statements of each kind that are kept. Callers ask in a few dozen shapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which lists a wanted document is on, and which of them to walk."""

    collection: Collection
    walked: frozenset[bytes]
    is_short: bool
    others: tuple[frozenset[bytes], ...]
    barred: frozenset[bytes]
    conditions: Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """All of a plan but its values: plans of one shape share their statements.

    Lists are the names of their keys.
    """

    walked: tuple[str, ...]
    single: tuple[str, ...]
    """Lists of one term each, all of which must hold."""
    several: tuple[tuple[str, ...], ...]
    """Lists of several terms, one of which must hold."""
    barred: tuple[str, ...]
    is_after: bool
    is_before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sketch:
    """A plan as a shape and its values by name."""

    shape: _Shape
    values: dict[str, Any]


def plan_for(
    connection: Connection,
    collection: Collection,
    scope: Scope,
    conditions: Conditions,
    order: Order = BY_CREATION,
) -> Plan:
    """The cheapest way to the documents that the conditions name."""
    lists = _lists(collection, scope, conditions)
    position, length = 0, COUNTED
    if len(lists) > 1 or order.key is SortKey.TIME:
        counts = _bounded_counts(connection, lists)
        # Equally long: a single list comes in order by itself, several must be sorted.
        ranked = zip(counts, (len(each) > 1 for each in lists), range(len(lists)), strict=True)
        length, _, position = min(ranked)
    return Plan(
        collection=collection,
        walked=lists[position],
        is_short=length < COUNTED,
        others=tuple(each for each in lists if each is not lists[position]),
        barred=keys_of(collection, conditions.none),
        conditions=conditions,
    )


def rows_of(connection: Connection, plan: Plan, page: Page) -> list[Any]:
    """The rows of the page, in its order."""
    if page.order.key is SortKey.CREATION and _is_narrow(connection, plan):
        sketch = _along_times(plan)
        return _window(connection, _in_window(sketch.shape, page.order), sketch, page)
    if page.order.key is SortKey.CREATION or plan.is_short:
        sketch = _sketch(plan)
        return _window(connection, _ordered(sketch.shape, page.order), sketch, page)
    return _long_by_time(connection, plan, page)


def count_of(connection: Connection, plan: Plan, at_most: int | None = None) -> int:
    """How many documents there are; no farther than `at_most` where that is given."""
    is_limited = at_most is not None
    if plan.conditions.bounded and not plan.is_short:
        sketch = _along_times(plan)
        counting = _timed_count(sketch.shape, is_limited=is_limited)
    else:
        sketch = _sketch(plan)
        counting = _count(sketch.shape, is_limited=is_limited)
    return int(counting.run(connection, {**sketch.values, "limit": at_most}).scalar() or 0)


def _lists(collection: Collection, scope: Scope, conditions: Conditions) -> list[frozenset[bytes]]:
    """What a wanted document is on: one or several term lists per condition."""
    opening = scope_terms(scope) or {collection_term()}
    lists = [keys_of(collection, opening)]
    lists += [keys_of(collection, {term}) for term in sorted(conditions.every)]
    lists += [keys_of(collection, group) for group in conditions.some]
    return lists


def _bounded_counts(connection: Connection, lists: Sequence[frozenset[bytes]]) -> Sequence[int]:
    values: dict[str, Any] = {}
    names = tuple([_named(values, keys) for keys in lists])
    row: Sequence[int] = _lengths(names).run(connection, values).one()
    return row


@lru_cache(maxsize=_SHAPES)
def _lengths(lists: tuple[tuple[str, ...], ...]) -> Prepared:
    def bounded(names: tuple[str, ...]) -> Any:
        some = select(literal(1)).where(terms.c.term.in_(_keys(names))).limit(COUNTED).subquery()
        return select(func.count()).select_from(some).scalar_subquery()

    return Prepared(select(*(bounded(names) for names in lists)))


def _sketch(plan: Plan) -> _Sketch:
    values: dict[str, Any] = {
        "collection": str(plan.collection),
        "after": plan.conditions.time_after,
        "before": plan.conditions.time_before,
    }
    walked = _named(values, plan.walked)
    single = frozenset[bytes]().union(*(each for each in plan.others if len(each) == 1))
    values["singles"] = len(single)
    shape = _Shape(
        walked=walked,
        single=_named(values, single),
        several=tuple([_named(values, each) for each in plan.others if len(each) > 1]),
        barred=_named(values, plan.barred),
        is_after=plan.conditions.time_after is not None,
        is_before=plan.conditions.time_before is not None,
    )
    return _Sketch(shape=shape, values=values)


def _named(values: dict[str, Any], keys: frozenset[bytes]) -> tuple[str, ...]:
    """Names for the keys, put into `values`. Some twice: lengths of 1, 2, 4, 8... are few."""
    if not keys:
        return ()
    padded = list(keys)
    padded += [padded[0]] * ((1 << (len(padded) - 1).bit_length()) - len(padded))
    first = len(values)
    names = tuple([f"v{number}" for number in range(first, first + len(padded))])
    values.update(zip(names, padded, strict=True))
    return names


def _keys(names: Iterable[str]) -> list[Any]:
    return [bindparam(name, type_=terms.c.term.type) for name in names]


def _walk(shape: _Shape) -> Select[Any]:
    """The sequence numbers of all wanted documents, in no order."""
    walked = _walked.c
    if len(shape.walked) == 1:
        walk = select(walked.seq).where(walked.term == _keys(shape.walked)[0])
    else:
        walk = select(walked.seq).distinct().where(walked.term.in_(_keys(shape.walked)))
    return walk.where(*_looked_up(shape, walked.seq))


@lru_cache(maxsize=_SHAPES)
def _ordered(shape: _Shape, order: Order) -> Prepared:
    """A page along the walked list; in order of time all of that is sorted, since it is short."""
    seq = _walked.c.seq
    if order.key is SortKey.CREATION:
        return _page(_walk(shape).order_by(seq.desc() if order.descending else seq), order)
    wanted = _walk(shape).subquery()
    sorted_seqs = select(documents.c.seq).join(wanted, documents.c.seq == wanted.c.seq)
    return _page(sorted_seqs.order_by(*_order_columns(order)), order)


@lru_cache(maxsize=_SHAPES)
def _count(shape: _Shape, *, is_limited: bool) -> Prepared:
    walk = _walk(shape)
    some = (walk.limit(bindparam("limit")) if is_limited else walk).subquery()
    return Prepared(select(func.count()).select_from(some))


def _long_by_time(connection: Connection, plan: Plan, page: Page) -> list[Any]:
    """Those that have a time, along the index; then, if there is room, those without one."""
    sketch = _along_times(plan)
    shape = sketch.shape
    rows = _window(connection, _timed(shape, page.order), sketch, page)
    room = page.limit - len(rows)
    if room > 0 and not plan.conditions.bounded:
        number = int(
            _timed_count(shape, is_limited=False).run(connection, sketch.values).scalar() or 0
        )
        rest = Page(limit=room, offset=max(0, page.offset - number), order=page.order)
        rows += _window(connection, _untimed(shape, page.order), sketch, rest)
    return rows


def _along_times(plan: Plan) -> _Sketch:
    """The index of times is what is walked, so every list is one of the others."""
    return _sketch(replace(plan, walked=frozenset(), others=(plan.walked, *plan.others)))


def _is_narrow(connection: Connection, plan: Plan) -> bool:
    """Whether a long list is asked for a short time, so that the time is the shorter way."""
    if not plan.conditions.bounded or plan.is_short:
        return False
    sketch = _sketch(plan)
    number = _window_length(sketch.shape.is_after, sketch.shape.is_before)
    return int(number.run(connection, sketch.values).scalar() or 0) < COUNTED


@lru_cache(maxsize=_SHAPES)
def _window_length(is_after: bool, is_before: bool) -> Prepared:  # noqa: FBT001 - two bounds
    bounds = _bounds(documents.c.time_stamp, is_after=is_after, is_before=is_before)
    inside = select(literal(1)).where(documents.c.collection == bindparam("collection"), *bounds)
    return Prepared(select(func.count()).select_from(inside.limit(COUNTED).subquery()))


def _in_collection(shape: _Shape) -> Select[Any]:
    seq, stamp = documents.c.seq, documents.c.time_stamp
    bounds = _bounds(stamp, is_after=shape.is_after, is_before=shape.is_before)
    in_it = documents.c.collection == bindparam("collection")
    return select(seq).where(in_it, *bounds, *_on_lists(shape, seq))


@lru_cache(maxsize=_SHAPES)
def _in_window(shape: _Shape, order: Order) -> Prepared:
    """A page of the documents of a time, in their order of creation."""
    # The limit keeps planners from walking all documents in that order instead.
    inside = _in_collection(shape).limit(bindparam("farthest")).subquery()
    seq = inside.c.seq
    return _page(select(seq).order_by(seq.desc() if order.descending else seq), order)


@lru_cache(maxsize=_SHAPES)
def _timed(shape: _Shape, order: Order) -> Prepared:
    stamp, seq = documents.c.time_stamp, documents.c.seq
    timed = _in_collection(shape).where(stamp.is_not(None))
    return _page(timed.order_by(stamp.desc() if order.descending else stamp, seq), order)


@lru_cache(maxsize=_SHAPES)
def _timed_count(shape: _Shape, *, is_limited: bool) -> Prepared:
    timed = _in_collection(shape).where(documents.c.time_stamp.is_not(None))
    some = (timed.limit(bindparam("limit")) if is_limited else timed).subquery()
    return Prepared(select(func.count()).select_from(some))


@lru_cache(maxsize=_SHAPES)
def _untimed(shape: _Shape, order: Order) -> Prepared:
    untimed = _in_collection(shape).where(documents.c.time_stamp.is_(None))
    return _page(untimed.order_by(documents.c.seq), order)


def _page(seqs: Select[Any], order: Order) -> Prepared:
    wanted = seqs.limit(bindparam("limit")).offset(bindparam("offset")).subquery()
    statement = select(documents).join(wanted, documents.c.seq == wanted.c.seq)
    return Prepared(statement.order_by(*_order_columns(order)))


def _window(connection: Connection, prepared: Prepared, sketch: _Sketch, page: Page) -> list[Any]:
    window = {
        "limit": min(page.limit, _FARTHEST),
        "offset": min(page.offset, _FARTHEST),
        "farthest": _FARTHEST,
    }
    return list(prepared.run(connection, {**sketch.values, **window}).all())


def _order_columns(order: Order) -> tuple[ColumnElement[Any], ...]:
    stamp, seq = documents.c.time_stamp, documents.c.seq
    if order.key is SortKey.CREATION:
        return (seq.desc(),) if order.descending else (seq,)
    return (stamp.is_(None), stamp.desc() if order.descending else stamp, seq)


def _looked_up(shape: _Shape, seq: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """What else must hold of a document: looked up for each, however few the page needs.

    Counts, and not EXISTS: PostgreSQL makes a join of each EXISTS, for which it may read whole
    tables, and 256 of which it plans for 40 seconds. More than a few lists are looked up together, so
    hundreds of conditions stay one step.
    """
    found = _on_lists(shape, seq)
    if shape.is_after or shape.is_before:
        found.append(_number_in_time(shape, seq) > 0)
    return found


def _on_lists(shape: _Shape, seq: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for names in shape.several:
        some = _apart(names)
        found.append(or_(*(_number_on(each, seq) > 0 for each in some)))
    if len(shape.single) <= _APART:
        found += [_number_on(each, seq) > 0 for each in _apart(shape.single)]
    else:
        found.append(_number_on(shape.single, seq) == bindparam("singles"))
    found += [_number_on(each, seq) == 0 for each in _apart(shape.barred)]
    return found


def _apart(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The lists one by one, if they are few: MariaDB reads several lists whole for each document."""
    if len(names) <= _APART:
        return [(name,) for name in names]
    return [names]


def _number_on(names: tuple[str, ...], seq: ColumnElement[Any]) -> ColumnElement[int]:
    """On how many of the lists the document is."""
    looked_up = terms.alias()
    on_them = looked_up.c.term.in_(_keys(names)), looked_up.c.seq == seq
    return select(func.count()).select_from(looked_up).where(*on_them).scalar_subquery()


def _number_in_time(shape: _Shape, seq: ColumnElement[Any]) -> ColumnElement[int]:
    timed = documents.alias()
    bounds = _bounds(timed.c.time_stamp, is_after=shape.is_after, is_before=shape.is_before)
    inside = select(func.count()).select_from(timed).where(timed.c.seq == seq, *bounds)
    return inside.scalar_subquery()


def _bounds(
    stamp: ColumnElement[Any], *, is_after: bool, is_before: bool
) -> list[ColumnElement[bool]]:
    bounds = []
    if is_after:
        bounds.append(stamp >= bindparam("after"))
    if is_before:
        bounds.append(stamp <= bindparam("before"))
    return bounds


_walked = terms.alias("walked")
