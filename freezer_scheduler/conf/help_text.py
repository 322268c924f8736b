"""What --help says around the options."""

from collections.abc import Mapping

from freezer_scheduler.conf.loading import PROGRAM
from freezer_scheduler.conf.parser import Parser

_INTRODUCTION = "Run backup jobs when they are due, and look after them at the API."
DAEMON_COMMANDS = {
    "start": "Run the scheduler: in the background, or with --no-daemon in the foreground.",
    "stop": "End the scheduler of this client and wait until it has ended.",
    "restart": "Stop and start.",
    "reload": "Make the running scheduler read its settings and job directory again.",
    "status": "Say whether the scheduler of this client runs.",
}
_EPILOG = """\
Of a setting in several places the command line counts most, then the file, then the variable.
job-create takes every option of freezer-agent for the action, --max-retries and
--max-run-time for its rules, --description, and for the schedule --interval (here with its unit:
"4 hours"), --start-date, --end-date, --date, --timezone, --jitter, --catch-up and the cron fields
--month, --day, --day-of-week, --hour, --minute and their like. session-restore takes the options of
a restore: --session-tag, --restore-abs-path, --overwrite, --include and others.
Yes/no options have a --no twin (--noinsecure). Names may be cut short while they stay unique, and
the names with a section that release 19 knew (--scheduler-interval, --service_auth-os-username)
are understood. In files OpenStack's options stand in [service_auth].

examples:
  Run in the foreground as client node12, asking the API every 15 seconds:
    freezer-scheduler --no-daemon -c node12 -i 15 start

  Give that client a job, and see what becomes of it:
    freezer-scheduler -c node12 job-create --file job.json
    freezer-scheduler -c node12 job-create --action backup --path-to-backup /srv \\
        --storage local --container /mnt --backup-name srv --interval "4 hours"
    freezer-scheduler -c node12 job-list --watch
    freezer-scheduler -c node12 run-list -j ID --long

  Bring all nodes of a session back to what they were in its run 12:
    freezer-scheduler session-restore -s ID --session-tag 12 --restore-abs-path /srv/restored

  The ten largest backups that the API knows:
    freezer-scheduler backup-list --sort size --reverse --limit 10

  Run the job files of a directory, without an API:
    freezer-scheduler --no-api -f /etc/freezer/scheduler/conf.d start

exit status:
  0 done   1 settings cannot be used, or no start   2 unknown option   65 no such command
  70 the command failed   73 the client could not be registered   130 interrupted
"""


def help_text(api_commands: Mapping[str, str]) -> str:
    """The whole text; `api_commands` has a line about each command for the API."""
    lines = [_INTRODUCTION, ""]
    for title, commands in (
        ("commands for the scheduler on this node", DAEMON_COMMANDS),
        ("commands for the API", api_commands),
    ):
        lines.append(f"{title}:")
        lines += [f"  {name:<20}{text}" for name, text in commands.items()]
        lines.append("")
    description = "\n".join(lines).rstrip()
    return Parser(PROGRAM, description=description, epilog=_EPILOG).help().rstrip()
