"""A storage that lives as long as the process: for tests, dry runs and examples."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from freezer_agent.errors import ObjectExists, ObjectNotFound
from freezer_agent.storages.base import ContainerUsage, StoredObject
from freezer_agent.storages.keys import folder_parts, key_parts


class Memory:
    """Objects in a dictionary."""

    kind = "memory"

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the whole of `chunks`, or nothing."""
        key_parts(key)
        content = b"".join(chunks)
        self._objects[key] = content
        return len(content)

    def create(self, key: str, content: bytes) -> None:
        """Store `content` unless there is an object already."""
        key_parts(key)
        if self._objects.setdefault(key, content) is not content:
            raise ObjectExists(key)

    def read(self, key: str) -> Iterator[bytes]:
        """The object in one chunk."""
        key_parts(key)
        if key not in self._objects:
            raise ObjectNotFound(key)
        return iter([self._objects[key]])

    def usage(self) -> list[ContainerUsage]:
        """One container with everything."""
        size_bytes = sum(map(len, self._objects.values()))
        return [
            ContainerUsage(container="memory", size_bytes=size_bytes, objects=len(self._objects))
        ]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects below a folder, as they are when asked, ordered by key."""
        folder = folder_parts(prefix)
        start = "/".join([*folder, ""])
        found = sorted(key for key in self._objects if key.startswith(start))
        return (StoredObject(key=key, size_bytes=len(self._objects[key])) for key in found)

    def delete(self, key: str) -> None:
        """Remove the object if there is one."""
        key_parts(key)
        self._objects.pop(key, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None
