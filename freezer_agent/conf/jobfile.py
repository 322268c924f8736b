"""Read a job file: the ini file that --config names and that the scheduler writes."""

import configparser
from dataclasses import dataclass
from pathlib import Path

from freezer_agent.errors import RequestInvalid

_STORAGE_SECTION = "storage:"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """The text of each key, by name with underscores, and the sections of further storages."""

    values: dict[str, str]
    storages: dict[str, dict[str, str]]


def read_job_file(path: Path) -> JobFile:
    """All sections but the storage ones flow together; of equal keys the last one counts.

    A `%` is a plain character, and so is the doubled one that former releases demanded.
    RequestInvalid if the file cannot be read or is no ini file.
    """
    parser = configparser.RawConfigParser(strict=False, default_section="", allow_no_value=True)
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            parser.read_file(file, source=str(path))
    except OSError as error:
        raise RequestInvalid(
            [f"the job file {str(path)!r} cannot be read: {error.strerror}"],
        ) from error
    except configparser.Error as error:
        text = " ".join(str(error).split())
        raise RequestInvalid([f"the job file is no ini file: {text}"]) from error
    values: dict[str, str] = {}
    storages: dict[str, dict[str, str]] = {}
    for section in parser.sections():
        items = {_key(key): _text(value) for key, value in parser.items(section)}
        if section.startswith(_STORAGE_SECTION):
            storages[section.removeprefix(_STORAGE_SECTION)] = items
        else:
            values.update(items)
    return JobFile(values=values, storages=storages)


def _key(key: str) -> str:
    return key.strip().replace("-", "_")


def _text(value: str | None) -> str:
    return "True" if value is None else value.replace("%%", "%")
