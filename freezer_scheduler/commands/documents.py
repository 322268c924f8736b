"""Documents in files: read with a clear error, write whole or not at all and for the owner only."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freezer_scheduler.commands.base import CommandFailed


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in the file. Raises CommandFailed, naming the file, for anything else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandFailed(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{path} is not UTF-8 text.") from error
    except RecursionError as error:
        raise CommandFailed(f"{path} is nested too deeply.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise CommandFailed(f"{path} is not JSON: {error.msg} at {where}.") from error
    if not isinstance(document, dict):
        raise CommandFailed(f"{path} must hold one JSON object.")
    return document


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file by the document, mode 0600. On any failure the old file stays as it was."""
    try:
        # mkstemp makes the file for its owner only: actions may hold passwords.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(document, stream, indent=4)
                stream.write("\n")
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise CommandFailed(f"Cannot write {path}: {error.strerror}.") from error
