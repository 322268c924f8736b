"""Metadata that vouches for itself: one way to write a document, and a digest of it inside.

It finds accidents without any key. Who alters the document on purpose can make the digest again.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

DIGEST = "metadata_sha256"


def written(document: Mapping[str, Any], left_out: Collection[str] = ()) -> bytes:
    """The document as the metadata object has it, but for the newline at the end.

    Sorted keys, ASCII, one line; perhaps without some of its keys.
    """
    kept = {key: value for key, value in document.items() if key not in left_out}
    return json.dumps(kept, sort_keys=True).encode("ascii")


def digest_of(document: Mapping[str, Any]) -> str:
    """The digest that belongs into the document."""
    return hashlib.sha256(written(document, {DIGEST})).hexdigest()
