"""What Elasticsearch says when it does not do what it was asked, in our words.

Messages are for operators: what was refused, and what to do next.
"""

from typing import Any

from freezer_api.errors import StoreUnavailable


class IndexGone(StoreUnavailable):
    """There is no such index or alias, or not any more."""


class WriteBlocked(StoreUnavailable):
    """The index takes no writes: an upgrade is about to switch, or an operator forbade it."""


def names_no_index(body: Any) -> bool:
    """Whether it is no answer about a document, since the index itself is not there."""
    return not isinstance(body, dict) or type_of(body) == "index_not_found_exception"


def is_full(status: int, body: Any) -> bool:
    """Whether it says "later", but means that an operator must make room first."""
    return status == 429 and type_of(body) == "cluster_block_exception"


def refused(status: int, body: Any) -> StoreUnavailable:
    """The error for the answer."""
    kind = StoreUnavailable
    advice = ""
    match status, type_of(body):
        case 404, "index_not_found_exception":
            kind = IndexGone
            advice = ". `freezer-manage db sync` makes the indices"
        case 403, "cluster_block_exception":
            kind = WriteBlocked
            advice = ". If no upgrade runs, lift the block index.blocks.write or read_only"
        case 429, "cluster_block_exception":
            advice = (
                ". The index is read-only because a disk is too full: make room, and Elasticsearch "
                "lifts the block by itself"
            )
        case 401 | 403, _:
            advice = (
                ". Check the user, the password or the API key of [elasticsearch], and its "
                "privileges"
            )
    return kind(f"Elasticsearch refused ({status}): {_reason(body)}{advice}")


def type_of(body: Any) -> str | None:
    """What the server calls the error; None where it is none of its own."""
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("type") if isinstance(error, dict) else None


def _reason(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return str(error.get("reason") or error.get("type"))
    return str(error or "no reason given")
