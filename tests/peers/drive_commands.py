"""Runs in the virtualenv of python-freezerclient: its `freezer` command, several times.

Reads a JSON list of argument lists from standard input; writes, for each, its exit code and what it
said. One process for all, since starting Python costs more than the command.
"""

import contextlib
import io
import json
import sys

from freezerclient.shell import FreezerShell


def run(arguments: list[str]) -> dict[str, object]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        shell = FreezerShell()
        shell.stdout, shell.stderr = out, err
        code = shell.run(arguments)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    json.dump([run(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
