"""Options of every run: what to do, for whom, and how to tell about it."""

from oslo_config import cfg

from freezer_agent.conf.kinds import FlagOrText

TITLE = "What to do"

OPTIONS = (
    cfg.StrOpt(
        "action",
        default="backup",
        choices=["backup", "restore", "list", "files", "verify", "info", "admin", "exec"],
        help="What to do: make a backup, restore one, list backups, list the files of one (files), "
        "check what is stored (verify), show the containers of a storage (info), remove old "
        "backups (admin) or run a command (exec).",
    ),
    cfg.StrOpt(
        "mode",
        short="m",
        default="fs",
        choices=[
            "fs",
            "mongo",
            "mysql",
            "sqlserver",
            "cinder",
            "cindernative",
            "nova",
            "glance",
        ],
        help="The application whose files are backed up; fs stands for plain files.",
    ),
    cfg.StrOpt(
        "engine",
        short="e",
        dest="engine_name",
        default="tar",
        choices=["tar", "rsync", "rsyncv2", "nova", "osbrick", "glance"],
        deprecated_opts=[cfg.DeprecatedOpt("engine")],
        help="How the bytes of a backup are produced. In files the key is engine_name.",
    ),
    cfg.StrOpt(
        "backup-name",
        short="N",
        default="freezer_{mode}_{resource_id}",
        metavar="NAME",
        help="The name of the set of backups. {mode}, {backup_media}, {storage}, {container}, "
        "{project_id}, {resource_id} and {hostname} are replaced.",
    ),
    cfg.StrOpt(
        "hostname",
        metavar="HOST",
        deprecated_opts=[cfg.DeprecatedOpt("restore-from-host")],
        help="Act for the backups of another host. Default is the name of this host.",
    ),
    cfg.StrOpt(
        "backup-id",
        metavar="ID",
        help="The id that the API has given to the backup already; it is repeated in the report.",
    ),
    cfg.StrOpt(
        "command",
        metavar="COMMAND",
        help="The command of action exec. Quotes work as in a shell and | makes a pipeline, but no "
        "shell runs it: nothing is expanded or redirected.",
    ),
    cfg.BoolOpt(
        "dry-run",
        default=False,
        help="Do everything except writing or removing: a backup reads its source, a restore "
        "verifies what it would extract, admin prints what it would remove.",
    ),
    cfg.IntOpt(
        "timeout",
        default=120,
        min=1,
        metavar="SECONDS",
        help="The longest wait for a cloud service, in seconds. When given, it also ends a "
        "command of action exec that runs longer.",
    ),
    cfg.Opt(
        "max-priority",
        type=FlagOrText(),
        help="Run with the highest CPU and I/O priority. Without the rights for it a warning is "
        "logged and the run goes on.",
    ),
    cfg.StrOpt(
        "config",
        metavar="FILE",
        help="The job file (ini) with the options of this run. The command line stands above it.",
    ),
    cfg.StrOpt(
        "proxy",
        metavar="URL",
        help="The proxy for every HTTP request of this run; '' is no proxy at all.",
    ),
)

REPORT_TITLE = "What comes out"

REPORT_OPTIONS = (
    cfg.StrOpt(
        "metadata-out",
        metavar="FILE",
        help="Write the report as one JSON object to this file, or to standard output with '-'.",
    ),
    cfg.BoolOpt(
        "json",
        default=False,
        help="For programs: print the report as one JSON object, and what happens meanwhile "
        "(progress, warnings, errors) as one JSON object a line on standard error.",
    ),
    cfg.BoolOpt(
        "report",
        default=False,
        help="Send the record of the backup to the API, for an agent that runs without a "
        "scheduler. The OS_* environment variables say where it is and who asks. If the API cannot "
        "be told, that is a warning: the backup is complete.",
    ),
    cfg.BoolOpt(
        "list",
        short="l",
        default=False,
        help="With --action info: list the backups inside the container.",
    ),
    cfg.BoolOpt(
        "quiet",
        short="q",
        default=False,
        help="No error message and no progress line on standard error, and no table of results on "
        "standard output: there is only what was asked for, such as a listing or JSON.",
    ),
)
