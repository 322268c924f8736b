"""Large objects of Swift: segments that are up and checked before a manifest joins them.

Segments of a new object FOLDER/data lie at FOLDER/segments/00000000 and so on, in the same
container. Those of other objects lie at FOLDER/segments/ID/00000000: every writing has an ID of its
own, so that replacing an object never touches the bytes of the former one. The manifest is a static large object (SLO) where the cluster offers it: it
names every segment with its checksum. Else it is a dynamic one (DLO), which is a prefix. Release
19.0.0 writes DLO, with all that begins with FOLDER/segments; both are read and removed here.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from freezer_agent.errors import ObjectNotFound, StorageUnavailable
from freezer_agent.storages.cutting import Pace, Pieces
from freezer_agent.storages.retrying import Attempts, attempt
from freezer_agent.storages.swift_account import SwiftAccount
from freezer_agent.storages.swift_library import swift

_SEGMENT = re.compile(r"(?P<folder>(?:.*/)?)segments/(?P<id>[0-9a-f]{16}/)?[0-9m]\d{7}", re.DOTALL)
_TOTAL_HEADER = "x-object-meta-freezer-bytes"
_MOST_PER_MANIFEST = 1000
_MOST_PER_BULK_DELETE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment that is stored: its name in the container, its checksum and size."""

    name: str
    etag: str
    size_bytes: int


class LargeObjects:
    """The large objects of one container."""

    def __init__(
        self,
        account: SwiftAccount,
        container: str,
        attempts: Attempts,
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace
        self._account = account
        self._container = container
        self._attempts = attempts

    def put(self, name: str, content: Pieces, **given: Any) -> Segment:
        """Store one object; tried again as often as the attempts allow, with its checksum."""
        etag = content.md5().hex()
        doing = f"cannot write {name!r} to {self._account}/{self._container}"

        def put_once() -> None:
            stored = self._account.call(
                swift.put_object,
                doing,
                self._container,
                name,
                contents=content.reader(self._pace),
                content_length=content.size_bytes,
                etag=etag,
                content_type="application/octet-stream",
                **given,
            )
            if stored != etag:
                raise StorageUnavailable(f"{doing}: it arrived with another checksum")

        attempt(put_once, self._attempts)
        return Segment(name=name, etag=etag, size_bytes=content.size_bytes)

    def join(self, name: str, segments: list[Segment]) -> None:
        """Make the segments one object under `name`. This is what makes it visible."""
        features = self._account.features()
        if "slo" not in features:
            self._put_dynamic(name, segments)
            return
        most = int(features["slo"].get("max_manifest_segments", _MOST_PER_MANIFEST))
        folder = segments[0].name.rpartition("/")[0]
        level = 0
        while len(segments) > most:
            groups = [segments[at : at + most] for at in range(0, len(segments), most)]
            names = (f"{folder}/m{level}{number:06}" for number in range(len(groups)))
            segments = [self._put_static(*pair) for pair in zip(names, groups, strict=False)]
            level += 1
        self._put_static(name, segments)

    def segments_of(self, name: str) -> list[str]:
        """The names of everything that the large object consists of; none for a small one."""
        try:
            headers = self.headers(name)
        except ObjectNotFound:
            return []
        if headers.get("x-static-large-object", "").lower() == "true":
            return list(self._static_segments(name, name))
        if manifest := headers.get("x-object-manifest"):
            return list(self._dynamic_segments(name, unquote(manifest)))
        return []

    def headers(self, name: str) -> dict[str, str]:
        """The headers of an object."""
        doing = f"cannot look at {name!r} in {self._account}/{self._container}"
        return dict(self._account.call(swift.head_object, doing, self._container, name))

    def total_bytes(self, name: str, headers: dict[str, str]) -> int:
        """How many bytes the object with these headers must have.

        What was stored counts, also when the cluster has lost sight of a segment since.
        """
        told = headers.get(_TOTAL_HEADER) or headers.get("content-length")
        if told is not None:
            return int(told)
        # The cluster does not reckon the length of dynamic objects with very many segments.
        container, _, prefix = unquote(headers.get("x-object-manifest", "")).partition("/")
        if container != self._container:
            raise StorageUnavailable(f"the length of {name!r} in {self._account} is not known")
        return sum(entry["bytes"] for entry in self.listed(prefix))

    def remove(self, names: list[str]) -> None:
        """Remove objects, all at once where the cluster can; missing ones are fine."""
        if "bulk_delete" in self._account.features():
            for at in range(0, len(names), _MOST_PER_BULK_DELETE):
                self._remove_in_bulk(names[at : at + _MOST_PER_BULK_DELETE])
        else:
            for name in names:
                self.remove_one(name)

    def remove_one(self, name: str) -> None:
        """Remove one object, not what it consists of; a missing one is fine."""
        doing = f"cannot delete {name!r} from {self._account}/{self._container}"
        try:
            self._account.call(swift.delete_object, doing, self._container, name)
        except ObjectNotFound:
            return

    def listed(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Every object whose name begins so, page by page; nothing if there is no container."""
        marker = ""
        doing = f"cannot list {self._account}/{self._container}"
        while True:
            try:
                page = self._page(doing, prefix, marker)
            except ObjectNotFound:
                return
            if not page:
                return
            yield from page
            marker = page[-1]["name"]

    def _page(self, doing: str, prefix: str, marker: str) -> list[dict[str, Any]]:
        def ask() -> list[dict[str, Any]]:
            _, page = self._account.call(
                swift.get_container,
                doing,
                self._container,
                prefix=prefix,
                marker=marker,
            )
            return list(page)

        return attempt(ask, self._attempts)

    def _put_static(self, name: str, segments: list[Segment]) -> Segment:
        manifest = [
            {
                "path": f"/{self._container}/{segment.name}",
                "etag": segment.etag,
                "size_bytes": segment.size_bytes,
            }
            for segment in segments
        ]
        self._put_manifest(name, json.dumps(manifest).encode(), "multipart-manifest=put", {})
        # So the cluster reckons the checksum of a manifest.
        etags = "".join(segment.etag for segment in segments).encode()
        return Segment(
            name=name,
            etag=hashlib.md5(etags, usedforsecurity=False).hexdigest(),
            size_bytes=sum(segment.size_bytes for segment in segments),
        )

    def _put_dynamic(self, name: str, segments: list[Segment]) -> None:
        folder = segments[0].name.rpartition("/")[0]
        headers = {
            # Numbers begin with 0, which keeps folders of other objects below this one out.
            "x-object-manifest": quote(f"{self._container}/{folder}/0"),
            _TOTAL_HEADER: str(sum(segment.size_bytes for segment in segments)),
        }
        self._put_manifest(name, b"", None, headers)

    def _put_manifest(
        self, name: str, content: bytes, query: str | None, headers: dict[str, str]
    ) -> None:
        attempt(
            lambda: self._account.call(
                swift.put_object,
                f"cannot join the segments of {name!r} in {self._account}/{self._container}",
                self._container,
                name,
                contents=content,
                content_length=len(content),
                content_type="application/octet-stream",
                query_string=query,
                headers=headers,
            ),
            self._attempts,
        )

    def _static_segments(self, name: str, owner: str) -> Iterator[str]:
        _, content = self._account.call(
            swift.get_object,
            f"cannot read the manifest of {name!r} in {self._account}/{self._container}",
            self._container,
            name,
            query_string="multipart-manifest=get",
        )
        for entry in json.loads(content):
            _, container, segment = entry["name"].split("/", 2)
            if container != self._container or not _belongs(segment, owner):
                continue  # of another object: not ours to remove
            if entry.get("sub_slo"):
                yield from self._static_segments(segment, owner)
            yield segment

    def _dynamic_segments(self, name: str, manifest: str) -> Iterator[str]:
        container, _, prefix = manifest.partition("/")
        if container == self._container:
            for entry in self.listed(prefix):
                if _belongs(entry["name"], name):
                    yield entry["name"]

    def _remove_in_bulk(self, names: list[str]) -> None:
        doing = f"cannot remove objects of {self._account}/{self._container}"
        lines = "\n".join(quote(f"/{self._container}/{name}") for name in names)
        _, body = self._account.call(
            swift.post_account,
            doing,
            headers={"Accept": "application/json", "Content-Type": "text/plain"},
            query_string="bulk-delete",
            data=lines.encode(),
        )
        answer = json.loads(body)
        if answer.get("Errors"):
            raise StorageUnavailable(
                f"{doing}: {answer['Response Status']}: {answer['Errors'][:3]}"
            )


def segments_id() -> str:
    """A new name for a folder of segments; it begins with a letter, unlike any segment's."""
    return f"{secrets.choice('abcdef')}{secrets.token_hex(8)[1:]}"


def is_segment(name: str) -> bool:
    """Whether the name is that of a segment, which no listing shows."""
    return _SEGMENT.fullmatch(name) is not None


def segment_group(name: str) -> str:
    """The common start of the segments that were written together."""
    return name.rpartition("/")[0]


def segment_folder(name: str) -> str:
    """The folder of the object that a segment belongs to, without a slash at its end."""
    return re.split(r"(?:^|/)segments/(?:[0-9a-f]{16}/)?[^/]*$", name)[0]


def _belongs(segment: str, name: str) -> bool:
    found = _SEGMENT.fullmatch(segment)
    return found is not None and found["folder"] == name[: name.rfind("/") + 1]
