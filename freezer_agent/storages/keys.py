"""What a key may look like, for every storage that has to check it."""

from freezer_agent.errors import AccessRefused


def key_parts(key: str) -> list[str]:
    """The parts of a key. AccessRefused for one that could name something outside the root."""
    parts = key.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise AccessRefused(
            f"{key!r} is no key of a storage: it needs parts between slashes, none of them empty, "
            "'.' or '..'"
        )
    return parts


def folder_parts(prefix: str) -> list[str]:
    """The parts of a folder's name; none for the whole storage."""
    return key_parts(prefix.rstrip("/")) if prefix else []
