"""The client commands of the scheduler's program: jobs, sessions, clients, backups.

Each is given a CommandContext and returns an exit code. Options and the API's address are for the
command line to settle.
"""

from collections.abc import Mapping

from freezer_scheduler.commands import (
    backups,
    clients,
    job_files,
    jobs,
    runs,
    session_restore,
    sessions,
)
from freezer_scheduler.commands.base import Command, CommandContext

__all__ = ["COMMANDS", "Command", "CommandContext"]

_ALL = (
    *jobs.COMMANDS,
    *runs.COMMANDS,
    *job_files.COMMANDS,
    *sessions.COMMANDS,
    *session_restore.COMMANDS,
    *clients.COMMANDS,
    *backups.COMMANDS,
)

COMMANDS: Mapping[str, Command] = {command.name: command for command in _ALL}
"""Every command by its name, in the order of the help."""
