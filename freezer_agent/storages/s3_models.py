"""The descriptions of S3 that come with the client library, read in a third of the memory.

The library reads what it knows of the service, and of the endpoints of every other service, into
ordered dictionaries with all their documentation. Nothing of that is used here, and an agent with
several storages has 128 MiB for everything: 20 MiB of it would be this.
"""

import gzip
import json
from pathlib import Path
from typing import Any

_ENDPOINTS = "endpoints"
_SERVICE = "s3"


class LeanFiles:
    """What the library's loader of models takes to read their files with (`file_loader`)."""

    def exists(self, file_path: str) -> bool:
        """Whether there is a file of that path, with one of the endings."""
        return any(path.is_file() for path in _candidates(file_path))

    def load_file(self, file_path: str) -> Any:
        """The content without documentation and other services; None if there is no such file."""
        for path in _candidates(file_path):
            if path.is_file():
                content = path.read_bytes()
                if path.suffix == ".gz":
                    content = gzip.decompress(content)
                found = json.loads(content, object_hook=_without_documentation)
                return _of_one_service(found) if path.name.startswith(_ENDPOINTS + ".") else found
        return None


def _candidates(file_path: str) -> tuple[Path, Path]:
    return Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")


def _without_documentation(described: dict[str, Any]) -> dict[str, Any]:
    if isinstance(described.get("documentation"), str):
        described["documentation"] = ""
    return described


def _of_one_service(endpoints: Any) -> Any:
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name == _SERVICE}
    return endpoints
