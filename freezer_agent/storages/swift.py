"""Objects of an OpenStack Swift container.

What fits into one segment is one object. What is larger goes up in segments of which one is in
memory, and becomes visible with the manifest that is written last; see `swift_segments`. What a
killed process leaves are segments without a manifest: they are in no listing, and
`remove_leftovers` takes them away.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from freezer_agent.errors import (
    AccessRefused,
    Damaged,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StorageUnavailable,
)
from freezer_agent.storages.base import ContainerUsage, StoredObject
from freezer_agent.storages.claims import ANYBODY, HIDDEN, Claim, Claimant, create_alone, is_hidden
from freezer_agent.storages.cutting import Pace, Pieces, segments
from freezer_agent.storages.keys import folder_parts, key_parts
from freezer_agent.storages.names import Escapes
from freezer_agent.storages.resuming import resumed
from freezer_agent.storages.retrying import Attempts, attempt
from freezer_agent.storages.swift_account import SwiftAccount
from freezer_agent.storages.swift_library import swift
from freezer_agent.storages.swift_segments import (
    LargeObjects,
    Segment,
    is_segment,
    segment_folder,
    segment_group,
    segments_id,
)
from freezer_model.clock import Clock, utc_now

# The class has a method of that name.
_Names = list[str]
_Entries = list[dict[str, Any]]

_CHUNK_BYTES = 1 << 18
_NOTHING = Pieces()
# Nobody can see from here whether a writer lives: one that wrote nothing for so long does not.
_LEFT_AFTER = timedelta(days=1)
# Names of objects are UTF-8.
_ESCAPES = Escapes(only_high=True)


class Swift:
    """Objects of `container`, which may have a prefix behind a slash.

    The container is made when the first object is written. Every upload is checked against its
    MD5 sum by the cluster and again here, and sent as fast as `pace` lets it. For `create` see
    `claims`.
    """

    kind = "swift"

    def __init__(
        self,
        *,
        account: SwiftAccount,
        container: str,
        segment_bytes: int,
        attempts: Attempts,
        claimant: Claimant = ANYBODY,
        pace: Pace | None = None,
        segments_in_file: bool = False,
        clock: Clock = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._account = account
        self._container, _, prefix = container.strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._segment_bytes = segment_bytes
        self._attempts = attempts
        self._claimant = claimant
        self._clock = clock
        self._sleep = sleep
        self._segments_in_file = segments_in_file
        self._objects = LargeObjects(account, self._container, attempts, pace)

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the whole of `chunks`, or nothing visible; replaces an object of that key."""
        name = self._name(key)
        former = attempt(lambda: self._objects.segments_of(name), self._attempts)
        pieces = segments(chunks, lambda _: self._segment_bytes, in_file=self._segments_in_file)
        piece = next(pieces, _NOTHING)
        if piece.size_bytes < self._segment_bytes:
            size_bytes = self._put(name, piece).size_bytes
        else:
            upload = _Upload(self._put, self._objects, name)
            try:
                while piece.size_bytes:
                    upload.put(piece)
                    piece = _NOTHING  # one segment in memory is enough
                    piece = next(pieces, _NOTHING)
                upload.join()
            except BaseException:
                with contextlib.suppress(StorageError):
                    upload.abandon()
                raise
            size_bytes = upload.size_bytes
        if former:
            attempt(lambda: self._objects.remove(former), self._attempts)
        return size_bytes

    def create(self, key: str, content: bytes) -> None:
        """Store `content` unless there is an object already."""
        name = self._name(key)
        create_alone(
            self,
            key,
            name,
            lambda: self._put_new(key, name, content),
            self._sleep,
            claimant=self._claimant,
        )

    def put_claim(self, name: str) -> None:
        """For `create`."""
        self._put(name, Pieces([b"claim"]))

    def claims(self, prefix: str) -> Iterator[Claim]:
        """For `create`."""
        for entry in self._objects.listed(prefix):
            yield Claim(name=entry["name"], made_at=_modified_at(entry))

    def remove_claim(self, name: str) -> None:
        """For `create`."""
        attempt(lambda: self._objects.remove_one(name), self._attempts)

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes; a connection that breaks is made anew where it broke."""
        return self._reading(key, self._name(key))

    def usage(self) -> list[ContainerUsage]:
        """The containers of the account, segments counted as objects."""
        return [self._usage_of(name) for name in self._containers()]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects below a folder, ordered by key; segments are none."""
        start = self._prefix + "".join(f"{_ESCAPES.escape(part)}/" for part in folder_parts(prefix))
        return iter(sorted(self._listed(start), key=lambda stored: stored.key))

    def delete(self, key: str) -> None:
        """Remove the object first, then what it consisted of."""
        name = self._name(key)

        def delete_once() -> None:
            parts = self._objects.segments_of(name)
            self._objects.remove_one(name)
            self._objects.remove(parts)

        attempt(delete_once, self._attempts)

    def remove_leftovers(self) -> _Names:
        """Remove segments that no manifest joins and nobody has added to for a day."""
        oldest = self._clock() - _LEFT_AFTER
        groups: dict[str, _Entries] = {}
        owners: dict[str, _Names] = {}
        for entry in self._objects.listed(self._prefix):
            name = entry["name"]
            if is_segment(name):
                groups.setdefault(segment_group(name), []).append(entry)
            else:
                owners.setdefault(name.rpartition("/")[0], []).append(name)
        removed: list[str] = []
        for group, entries in groups.items():
            if max(map(_modified_at, entries)) < oldest and not self._is_joined(group, owners):
                removed += [entry["name"] for entry in entries]
        attempt(lambda: self._objects.remove(removed), self._attempts)
        return removed

    def remove_pieces(self, folder: str) -> _Names:
        """Remove the segments and claims below a folder where nobody writes and no object is."""
        start = self._prefix + "".join(f"{_ESCAPES.escape(part)}/" for part in folder_parts(folder))
        if any(not is_segment(entry["name"]) for entry in self._objects.listed(start)):
            return []
        removed = [entry["name"] for entry in self._objects.listed(start)]
        attempt(lambda: self._objects.remove(removed), self._attempts)
        return removed

    def __enter__(self) -> Self:
        attempt(self._account.access, self._attempts)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._account.close()

    def _name(self, key: str) -> str:
        name = self._prefix + "/".join(map(_ESCAPES.escape, key_parts(key)))
        if is_segment(name) or HIDDEN in name:
            raise AccessRefused(f"{key!r} is no key of this storage: such names are hidden in it")
        return name

    def _put(self, name: str, content: Pieces, **given: Any) -> Segment:
        """Store an object; makes the container if that is what is missing."""
        try:
            return self._objects.put(name, content, **given)
        except ObjectNotFound:
            doing = f"cannot make the container {self._container!r}"
            attempt(
                lambda: self._account.call(swift.put_container, doing, self._container),
                self._attempts,
            )
            return self._objects.put(name, content, **given)

    def _put_new(self, key: str, name: str, content: bytes) -> None:
        try:
            self._put(name, Pieces([content]), headers={"if-none-match": "*"})
        except AccessRefused as error:
            if getattr(error.__cause__, "http_status", None) == 412:
                raise ObjectExists(key) from error
            raise

    def _reading(self, key: str, name: str) -> Iterator[bytes]:
        digest = hashlib.md5(usedforsecurity=False)
        seen: dict[str, str] = {}
        for chunk in resumed(
            lambda offset: self._read_from(key, name, offset, seen), self._attempts
        ):
            digest.update(chunk)
            yield chunk
        is_joined = seen.get("x-static-large-object") or seen.get("x-object-manifest")
        if not is_joined and seen["etag"].strip('"') != digest.hexdigest():
            raise Damaged(f"{key!r} in {self._account}/{self._container} is not what was stored")

    def _read_from(self, key: str, name: str, offset: int, seen: dict[str, str]) -> Iterator[bytes]:
        doing = f"cannot read {key!r} from {self._account}/{self._container}"
        given = {"range": f"bytes={offset}-"} if offset else {}
        if offset and "etag" in seen:
            given["if-match"] = seen["etag"]
        with self._account.connection() as connection:
            try:
                headers, body = self._account.call_on(
                    connection,
                    swift.get_object,
                    doing,
                    self._container,
                    name,
                    resp_chunk_size=_CHUNK_BYTES,
                    headers=given,
                )
            except ObjectNotFound:
                raise ObjectNotFound(key) from None
            if not seen:
                seen.update(headers)
            missing = self._objects.total_bytes(name, seen) - offset
            for chunk in self._account.body(body, doing):
                missing -= len(chunk)
                yield chunk
            if missing:
                raise StorageUnavailable(f"{doing}: {missing} bytes are missing at its end")

    def _listed(self, start: str) -> Iterator[StoredObject]:
        found = list(self._objects.listed(start))
        # A dynamic manifest is listed with no bytes; only its headers tell how many it joins.
        joined = {segment_folder(entry["name"]) for entry in found if is_segment(entry["name"])}
        for entry in found:
            name, size_bytes = entry["name"], entry["bytes"]
            if is_segment(name) or is_hidden(name):
                continue
            if size_bytes == 0 and name.rpartition("/")[0] in joined:
                size_bytes = self._objects.total_bytes(name, self._objects.headers(name))
            key = "/".join(map(_ESCAPES.unescape, name.removeprefix(self._prefix).split("/")))
            yield StoredObject(key=key, size_bytes=size_bytes)

    def _containers(self) -> _Names:
        names: list[str] = []
        while page := self._container_page(names[-1] if names else ""):
            names += [entry["name"] for entry in page]
        return names

    def _container_page(self, marker: str) -> _Entries:
        doing = f"cannot list the containers of {self._account}"
        call = self._account.call
        _, page = attempt(lambda: call(swift.get_account, doing, marker=marker), self._attempts)
        return list(page)

    def _usage_of(self, name: str) -> ContainerUsage:
        # The account's own listing has these figures too, but minutes old.
        doing = f"cannot look at container {name!r}"
        call = self._account.call
        headers = attempt(lambda: call(swift.head_container, doing, name), self._attempts)
        return ContainerUsage(
            container=name,
            size_bytes=int(headers["x-container-bytes-used"]),
            objects=int(headers["x-container-object-count"]),
        )

    def _is_joined(self, group: str, owners: dict[str, _Names]) -> bool:
        folder = segment_folder(f"{group}/")
        members = {
            member
            for owner in owners.get(folder, [])
            for member in self._objects.segments_of(owner)
        }
        return any(segment_group(member) == group for member in members)


class _Upload:
    """A large object on its way: segments in a folder that no other writing uses.

    Those of a new `data` lie where all releases have them. What replaces an object, and what lies
    beside a `data`, has a folder of its own below that one.
    """

    def __init__(self, put: Callable[..., Segment], objects: LargeObjects, name: str) -> None:
        self._put = put
        self._objects = objects
        self._name = name
        folder, _, last = name.rpartition("/")
        self._folder = f"{folder}/segments" if folder else "segments"
        if last != "data" or next(objects.listed(f"{self._folder}/"), None) is not None:
            self._folder += f"/{segments_id()}"
        self._stored: list[Segment] = []

    @property
    def size_bytes(self) -> int:
        """What the segments sum up to."""
        return sum(segment.size_bytes for segment in self._stored)

    def put(self, content: Pieces) -> None:
        """Send the next segment."""
        self._stored.append(self._put(f"{self._folder}/{len(self._stored):08}", content))

    def join(self) -> None:
        """Make the segments one object. This is what makes it visible."""
        self._objects.join(self._name, self._stored)

    def abandon(self) -> None:
        """Remove the segments, unless the object became visible though joining seemed to fail."""
        listed = (entry["name"] for entry in self._objects.listed(f"{self._folder}/"))
        names = [name for name in listed if segment_group(name) == self._folder]
        if not set(names) & set(self._objects.segments_of(self._name)):
            self._objects.remove(names)


def _modified_at(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["last_modified"]).replace(tzinfo=UTC)
