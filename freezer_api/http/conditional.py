"""Conditional requests: tags of answers, and what `If-Match` and `If-None-Match` ask for."""

from typing import Any

import falcon

from freezer_api.services.tags import Expected, tag_of_bytes, text_of

_READING = frozenset({"GET", "HEAD"})

COVERS_HEADER = "X-Tag-Covers"
"""`query` on a page whose tag changes whenever any page of the same search does."""


def show(resp: falcon.Response, document: Any, version: int) -> None:
    """Answer with the document and the tag of this state of it."""
    resp.data = text_of(document)
    resp.etag = tag_of_bytes(resp.data, version)


def expected_of(req: falcon.Request) -> Expected:
    """What the caller expects of the document that he wants to change."""
    matching = req.get_header("If-Match")
    is_named = matching is not None and matching.strip() != "*"
    return Expected(
        tags=_strong_tags(req) if is_named else None,
        must_exist=matching is not None and not is_named,
        must_be_new=(req.get_header("If-None-Match") or "").strip() == "*",
    )


def is_known(req: falcon.Request, tag: str) -> bool:
    """Whether the caller has the answer with this tag already."""
    if (req.get_header("If-None-Match") or "").strip() == "*":
        return True
    return tag in (req.if_none_match or [])


class TaggedAnswers:
    """Falcon middleware: whatever is read has a tag, and is sent only to whom it is news.

    A resource may have set the tag; else it is that of the bytes.
    """

    def process_response(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        _resource: object,
        req_succeeded: bool,  # noqa: FBT001 - Falcon's signature
    ) -> None:
        """Called after the resource's method."""
        if not req_succeeded or req.method not in _READING or resp.status_code not in {200, 300}:
            return
        if resp.etag is None:
            resp.etag = tag_of_bytes(resp.render_body() or b"")
        # Tokens make the difference, which no store on the way knows: it has to ask each time.
        resp.cache_control = ["private", "no-cache"]
        if is_known(req, _bare(resp.etag)):
            resp.status = falcon.HTTP_304
            resp.delete_header("Content-Type")


def _bare(tag: str) -> str:
    return tag.removeprefix("W/").strip('"')


def _strong_tags(req: falcon.Request) -> frozenset[str]:
    # A weak tag promises equal meaning only, and is none to base a change on (RFC 9110, 13.1.1).
    # A header that cannot be read names no state at all.
    tags: list[Any] = req.if_match or []
    return frozenset(str(tag) for tag in tags if not getattr(tag, "is_weak", False))
