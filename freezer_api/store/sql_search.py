"""How the SQL store finds documents: statements over the lists of documents that terms are.

A search walks the shortest list that it can and looks the other conditions up. In order of time it
sorts a short list; a long one it leaves, and walks the collection's index of times instead.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, literal, select

from freezer_api.store.base import BY_CREATION, COUNTED, Collection, Order, Page, Scope, SortKey
from freezer_api.store.leaves import Conditions, collection_term, digest, scope_terms
from freezer_api.store.sql_schema import documents, terms

_FARTHEST = 2**62  # windows are cut to the integers that databases know


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which lists a wanted document is on, and which of them to walk."""

    collection: Collection
    walked: frozenset[bytes]
    is_short: bool
    others: tuple[frozenset[bytes], ...]
    barred: frozenset[bytes]
    conditions: Conditions


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
        counts = connection.execute(select(*(_bounded_count(each) for each in lists))).one()
        # Equally long: a single list comes in order by itself, several must be sorted.
        ranked = zip(counts, (len(each) > 1 for each in lists), range(len(lists)), strict=True)
        length, _, position = min(ranked)
    return Plan(
        collection=collection,
        walked=lists[position],
        is_short=length < COUNTED,
        others=tuple(each for each in lists if each is not lists[position]),
        barred=digests(collection, conditions.none),
        conditions=conditions,
    )


def rows_of(connection: Connection, plan: Plan, page: Page) -> list[Any]:
    """The rows of the page, in its order."""
    if page.order.key is SortKey.CREATION:
        return _window(connection, _by_creation(plan, page.order), page, page.order)
    if plan.is_short:
        return _window(connection, _short_by_time(plan, page.order), page, page.order)
    return _long_by_time(connection, plan, page)


def count_of(connection: Connection, plan: Plan, at_most: int | None = None) -> int:
    """How many documents there are; no farther than `at_most` where that is given."""
    walk = _walk(plan)
    some = (walk if at_most is None else walk.limit(at_most)).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0


def digests(collection: Collection, some_terms: Iterable[str]) -> frozenset[bytes]:
    """The keys of the terms' lists."""
    return frozenset(digest(collection, term) for term in some_terms)


def _lists(collection: Collection, scope: Scope, conditions: Conditions) -> list[frozenset[bytes]]:
    """What a wanted document is on: one or several term lists per condition."""
    opening = scope_terms(scope) or {collection_term()}
    lists = [digests(collection, opening)]
    lists += [digests(collection, {term}) for term in sorted(conditions.every)]
    if conditions.some:
        lists.append(digests(collection, conditions.some))
    return lists


def _bounded_count(lists: frozenset[bytes]) -> Any:
    some = select(literal(1)).where(terms.c.term.in_(lists)).limit(COUNTED).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def _walk(plan: Plan) -> Select[Any]:
    """The sequence numbers of all wanted documents, in no order."""
    walked = _walked.c
    if len(plan.walked) == 1:
        walk = select(walked.seq).where(walked.term == next(iter(plan.walked)))
    else:
        walk = select(walked.seq).distinct().where(walked.term.in_(plan.walked))
    return walk.where(*_looked_up(plan, plan.others, walked.seq))


def _by_creation(plan: Plan, order: Order) -> Select[Any]:
    seq = _walked.c.seq
    return _walk(plan).order_by(seq.desc() if order.descending else seq)


def _short_by_time(plan: Plan, order: Order) -> Select[Any]:
    wanted = _walk(plan).subquery()
    return (
        select(documents.c.seq)
        .join(wanted, documents.c.seq == wanted.c.seq)
        .order_by(*_order_columns(order))
    )


def _long_by_time(connection: Connection, plan: Plan, page: Page) -> list[Any]:
    """Those that have a time, along the index; then, if there is room, those without one."""
    stamp, seq = documents.c.time_stamp, documents.c.seq
    every_list = (plan.walked, *plan.others)
    all_wanted = select(seq).where(
        documents.c.collection == str(plan.collection), *_looked_up(plan, every_list, seq)
    )
    timed = all_wanted.where(stamp.is_not(None))
    direction = (stamp.desc(), seq) if page.order.descending else (stamp, seq)
    rows = _window(connection, timed.order_by(*direction), page, page.order)
    room = page.limit - len(rows)
    if room > 0:
        number = connection.scalar(select(func.count()).select_from(timed.subquery())) or 0
        rest = Page(limit=room, offset=max(0, page.offset - number), order=page.order)
        untimed = all_wanted.where(stamp.is_(None)).order_by(seq)
        rows += _window(connection, untimed, rest, page.order)
    return rows


def _window(connection: Connection, seqs: Select[Any], page: Page, order: Order) -> list[Any]:
    wanted = seqs.limit(min(page.limit, _FARTHEST)).offset(min(page.offset, _FARTHEST)).subquery()
    statement = select(documents).join(wanted, documents.c.seq == wanted.c.seq)
    return list(connection.execute(statement.order_by(*_order_columns(order))).all())


def _order_columns(order: Order) -> tuple[ColumnElement[Any], ...]:
    stamp, seq = documents.c.time_stamp, documents.c.seq
    if order.key is SortKey.CREATION:
        return (seq.desc(),) if order.descending else (seq,)
    return (stamp.is_(None), stamp.desc() if order.descending else stamp, seq)


def _looked_up(
    plan: Plan, lists: Iterable[frozenset[bytes]], seq: ColumnElement[Any]
) -> list[ColumnElement[bool]]:
    found = _is_on_all(list(lists), seq)
    if plan.barred:
        found.append(~_is_on(plan.barred, seq))
    if plan.conditions.bounded:
        found.append(_in_time(plan.conditions, seq))
    return found


def _is_on_all(lists: list[frozenset[bytes]], seq: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """The lists of one term each are looked up together: hundreds of conditions stay one step.

    A count, because PostgreSQL makes a join of each EXISTS and plans 256 of them for 40 seconds.
    """
    single = frozenset().union(*(each for each in lists if len(each) == 1))
    steps = [_is_on(each, seq) for each in lists if len(each) > 1]
    if single:
        looked_up = terms.alias()
        found = select(func.count()).where(looked_up.c.term.in_(single), looked_up.c.seq == seq)
        steps.append(found.scalar_subquery() == len(single))
    return steps


def _is_on(lists: frozenset[bytes], seq: ColumnElement[Any]) -> ColumnElement[bool]:
    looked_up = terms.alias()
    return exists().where(looked_up.c.term.in_(lists), looked_up.c.seq == seq)


def _in_time(conditions: Conditions, seq: ColumnElement[Any]) -> ColumnElement[bool]:
    timed = documents.alias().c
    bounds = []
    if conditions.time_after is not None:
        bounds.append(timed.time_stamp >= conditions.time_after)
    if conditions.time_before is not None:
        bounds.append(timed.time_stamp <= conditions.time_before)
    return exists().where(timed.seq == seq, and_(*bounds))


_walked = terms.alias("walked")
