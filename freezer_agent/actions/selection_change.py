"""Whether an increment would miss files that the backup below it has left out.

An engine stores what changed since its state. A file that was excluded then, and has not changed,
counts as stored: without the pattern it would be in no backup until the next full one.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from freezer_agent.requests import BackupRequest

_DIGITS = 16


def told_choice(request: BackupRequest) -> dict[str, Any]:
    """What the metadata keeps of it. Patterns may name files, which metadata should not show."""
    return {
        "exclude_digests": sorted(map(_digest, request.excludes)),
        "dereference": request.dereference.value,
    }


def left_out_of(metadata: Mapping[str, Any], request: BackupRequest) -> str | None:
    """The reason why the backup with this metadata cannot be built on, or None.

    Backups of other releases do not tell what they left out, and count as fit.
    """
    digests, dereference = metadata.get("exclude_digests"), metadata.get("dereference")
    if isinstance(digests, list) and not {*digests} <= {*map(_digest, request.excludes)}:
        return "has left out files that are excluded no more"
    if isinstance(dereference, str) and dereference != request.dereference.value:
        return f"was made with --dereference-symlink {dereference}"
    return None


def _digest(pattern: str) -> str:
    content = pattern.encode("utf-8", "surrogateescape")
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
