"""Read the credentials file of OpenStack: lines `export NAME=value`, as clouds hand it out.

No shell runs it. A value that only a shell could find out, as in files that ask for the password
when they are sourced, is an error that says so.
"""

import re
from pathlib import Path

from freezer_agent.errors import RequestInvalid

_EXPORT = re.compile(r"\s*export\s+(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)")
_COMPUTED = re.compile(r"\"?\$(?:\w+|\{.*\}|\(.*\))\"?|\"?`.*`\"?")


def read_osrc(path: Path) -> dict[str, str]:
    """The exported values by name; of equal names the last counts. All other lines are ignored.

    RequestInvalid if the file cannot be read or a value needs a shell.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise RequestInvalid([f"the osrc file {str(path)!r} cannot be read: {reason}"]) from error
    values: dict[str, str] = {}
    reasons: list[str] = []
    for line in text.splitlines():
        if match := _EXPORT.fullmatch(line):
            name, raw = match["name"], match["value"].strip()
            if _COMPUTED.fullmatch(raw):
                reasons.append(
                    f"the osrc file {str(path)!r} computes {name} with a shell, which does not run "
                    "here: write the value itself",
                )
            values[name] = _unquoted(raw)
    if reasons:
        raise RequestInvalid(reasons)
    return values


def _unquoted(raw: str) -> str:
    """The value without the quotes around it. All else is meant as it stands, also in passwords."""
    if len(raw) >= 2 and raw[0] == raw[-1] and raw[0] in "'\"":
        return raw[1:-1]
    return raw
