"""What a document can be found by: its terms.

A term is one text for one fact that a query may ask for: a field that holds a value, a word, the
project. Documents offer terms and queries ask for terms, so a search is nothing but sets of terms;
how a store keeps and intersects them is its own affair. Pure: no store and no I/O here.
"""

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from freezer_api.errors import BadRequest
from freezer_api.store.base import Collection, Document, Query, Scalar, Scope

MAX_DEPTH = 64
"""Levels of nesting. Job documents have 5; the JSON library's recursion ends near 1,000."""
MAX_TERMS = 100_000
"""Terms of one document. A session of 1,000 jobs has about 12,000."""
MAX_PATH_TEXT = 8 * 1024 * 1024
"""Characters of all dotted paths of one document: long keys above many leaves multiply."""
MAX_CONDITIONS = 256
"""Conditions of one query: well below the clause limits of every store."""

WATCHED_FIELD = "client_id"
"""The field that a scheduler polls by. Stores keep track of what changes for each value of it."""
_SHORT = 200
_REMEMBERED = 16_384
"""Most values of a document are those of thousands of others (modes, states, host names) or of the
version that it replaces. What follows from short ones is remembered, which makes the terms of a
backup 5 times cheaper; it takes up to some 15 MiB."""

_FAR = 2**62  # beyond every time, within the 64 bits that stores keep
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """A query in terms."""

    every: frozenset[str]
    none: frozenset[str]
    some: tuple[frozenset[str], ...]
    """Of each set at least one."""
    time_after: int | None
    time_before: int | None

    @property
    def bounded(self) -> bool:
        """Whether documents without a time are out."""
        return self.time_after is not None or self.time_before is not None

    def hold(self, terms: frozenset[str], time_stamp: int | None) -> bool:
        """Whether a document with these terms and this time is wanted."""
        return (
            self.every <= terms
            and self.none.isdisjoint(terms)
            and not any(group.isdisjoint(terms) for group in self.some)
            and self._in_time(time_stamp)
        )

    def _in_time(self, time_stamp: int | None) -> bool:
        if not self.bounded:
            return True
        return (
            time_stamp is not None
            and (self.time_after is None or self.time_after <= time_stamp)
            and (self.time_before is None or time_stamp <= self.time_before)
        )


def conditions_of(query: Query) -> Conditions:
    """The query in terms. Raises BadRequest for more than MAX_CONDITIONS conditions."""
    alternatives = sum(len(group) for group in query.match_or)
    asked = len(query.match) + len(query.match_not) + alternatives + len(query.words)
    if asked > MAX_CONDITIONS:
        raise BadRequest(f"The query has {asked} conditions; at most {MAX_CONDITIONS} are allowed")
    words = frozenset(word_term(word) for word in query.words)
    return Conditions(
        every=words | frozenset(field_term(*condition) for condition in query.match),
        none=frozenset(field_term(*condition) for condition in query.match_not),
        some=tuple(frozenset(field_term(*each) for each in group) for group in query.match_or),
        time_after=_in_64_bits(query.time_after),
        time_before=_in_64_bits(query.time_before),
    )


def scope_terms(scope: Scope) -> frozenset[str]:
    """The terms of which a document must have one to exist for the scope; empty: all exist."""
    if scope.project_id is None:
        return frozenset()
    own = frozenset({project_term(scope.project_id)})
    return own | {field_term(*scope.or_match)} if scope.or_match else own


def in_scope(terms: frozenset[str], scope: Scope) -> bool:
    """Whether a document with these terms exists for the scope."""
    opening = scope_terms(scope)
    return not opening or not opening.isdisjoint(terms)


def exists_for(scope: Scope, document: Document) -> bool:
    """Whether the document exists for the scope. Its terms are looked at only if they must be."""
    if scope.project_id is None or document.get("project_id") == scope.project_id:
        return True
    return scope.or_match is not None and field_term(*scope.or_match) in terms_of(document)


def terms_of(document: Document) -> frozenset[str]:
    """Every term of the document: fields by bare name and by dotted path, words, the project.

    Raises BadRequest for a document that cannot be searched: nested too deeply, far too many
    values, keys that are no text, a number of thousands of digits, no text `project_id`.
    """
    project_id = document.get("project_id")
    if not isinstance(project_id, str):
        raise BadRequest("project_id: a document needs one, and it must be a text")
    terms = {collection_term(), project_term(project_id)}
    for name, path, value in _leaves(document):
        terms.update(_leaf_terms(name, path, value))
        if len(terms) > MAX_TERMS:
            raise BadRequest(f"The document holds more than {MAX_TERMS} values and words")
    return frozenset(terms)


def field_term(field: str, value: Scalar) -> str:
    """The term of a field that holds a value. Numbers are equal as JSON has it: 1 is 1.0."""
    return f"f{len(field)}:{field}{_typed(value)}"


def word_term(word: str) -> str:
    """The term of a word, whatever its letter case."""
    return f"w{_folded(word)}"


def collection_term() -> str:
    """The term that every document of a collection has."""
    return "c"


def project_term(project_id: str) -> str:
    """The term of the project that a document belongs to."""
    return f"p{project_id}"


def is_project_term(term: str) -> bool:
    """Whether the term tells which project a document belongs to."""
    return term.startswith("p")


def project_terms(terms: frozenset[str]) -> list[str]:
    """Those of a document's terms that tell which project it belongs to: one."""
    return [term for term in terms if term[0] == "p"]


def value_of(term: str) -> str:
    """The value that a field's or a word's term is of, without its type; else what there is."""
    if not term.startswith("f"):
        return term[1:]
    length, _, rest = term.partition(":")
    return rest[int(length[1:]) + 1 :]


def digest(collection: Collection, term: str) -> bytes:
    """A fixed-size stand-in for the term within the collection: 128 bits, any term length."""
    text = f"{collection}:{term}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def time_stamp_of(document: Document) -> int | None:
    """The epoch second that time bounds look at, or None. Fractions of a second are dropped."""
    found = _epoch(_inner(document, "backup_metadata", "time_stamp"))
    if found is None:
        found = _epoch(_inner(document, "backup_metadata", "timestamp"))
    if found is None:
        found = _epoch(document.get("timestamp"))
    if found is None:
        started = _epoch(_inner(document, "job_schedule", "time_started"))
        return None if started is None or started < 0 else started  # -1: it has never run
    return found


def watched_terms(collection: Collection, terms: frozenset[str]) -> frozenset[str]:
    """Those of a document's terms whose changes a store keeps track of."""
    if collection not in _WATCHED_COLLECTIONS:
        return frozenset()
    return frozenset(term for term in terms if term.startswith(_WATCHED_PREFIX))


def watched_term_of(collection: Collection, query: Query) -> str | None:
    """The watched term that every document has which the query wants, if there is one."""
    if collection not in _WATCHED_COLLECTIONS:
        return None
    asked = (field_term(*condition) for condition in query.match if condition[0] == WATCHED_FIELD)
    return next(asked, None)


def is_watched(collection: Collection, query: Query) -> bool:
    """Whether stores can tell the query's fingerprint: jobs or clients matched by client id."""
    return watched_term_of(collection, query) is not None


def _leaves(document: Document) -> Iterator[tuple[str, str, Scalar]]:
    """Each scalar with its bare name and its dotted path. Not recursive: depth is the caller's."""
    pending: list[tuple[str, str, object, int]] = [("", "", document, 1)]
    path_text = 0
    while pending:
        name, path, value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise BadRequest(f"The document is nested deeper than {MAX_DEPTH} levels")
        if value is None or isinstance(value, str | int | float):
            yield name, path, value
        elif isinstance(value, dict | Mapping):  # the first by far the quicker to recognise
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise BadRequest("The document has a key that is not a text")
                inner_path = f"{path}.{key}" if depth > 1 else key
                path_text += len(inner_path)
                if path_text > MAX_PATH_TEXT:
                    raise BadRequest("The document has too long field names for that many fields")
                pending.append((key, inner_path, inner, depth + 1))
        elif isinstance(value, list | tuple):
            pending.extend((name, path, inner, depth + 1) for inner in value)
        else:
            raise BadRequest(f"{path}: a {type(value).__name__} is nothing that JSON knows")


def _inner(document: Document, name: str, inner_name: str) -> object:
    outer = document.get(name)
    return outer.get(inner_name) if isinstance(outer, Mapping) else None


def _leaf_terms(name: str, path: str, value: Scalar) -> frozenset[str]:
    known = _remembered_terms if len(path) <= _SHORT and _is_short(value) else _terms_of_leaf
    return known(name, path, value)


def _is_short(value: Scalar) -> bool:
    if isinstance(value, str):
        return len(value) <= _SHORT
    return not isinstance(value, int) or value.bit_length() <= 64


def _terms_of_leaf(name: str, path: str, value: Scalar) -> frozenset[str]:
    words = {word_term(word) for word in _words_in(value)}
    return frozenset({field_term(name, value), field_term(path, value), *words})


def _typed(value: Scalar) -> str:
    """The value with its type: no two different values have the same text."""
    if isinstance(value, str):
        return f"s{value}"
    if value is None:
        return "z"
    if isinstance(value, bool):
        return "b1" if value else "b0"
    return f"n{_number_text(value)}"


def _number_text(value: float) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return repr(value)
    except ValueError as error:  # Python refuses to print integers of more than 4,300 digits
        raise BadRequest("A number has too many digits") from error


def _words_in(value: Scalar) -> set[str]:
    if value is None:
        return set()
    if isinstance(value, bool):
        return {"true" if value else "false"}
    if not isinstance(value, str):
        return {_number_text(value)}
    folded = _folded(value)
    return {folded, *folded.split(), *_WORD.findall(folded)}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())


def _epoch(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -_FAR < value < _FAR:  # this also turns NaN away
        return None
    return int(value // 1)


def _in_64_bits(bound: int | None) -> int | None:
    return None if bound is None else max(-_FAR, min(_FAR, bound))


_WATCHED_COLLECTIONS = frozenset({Collection.JOBS, Collection.CLIENTS})
# A field term begins with the length of the name, so no other name begins like this.
_WATCHED_PREFIX = field_term(WATCHED_FIELD, "")[:-1]
# Typed: 1, 1.0 and True are one key otherwise.
_remembered_terms = functools.lru_cache(maxsize=_REMEMBERED, typed=True)(_terms_of_leaf)
