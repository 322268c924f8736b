"""Options of the daemon itself: who it is, what it polls, how it runs."""

from oslo_config import cfg

from freezer_model.client import MOST_CLIENT_ID_CHARACTERS

SECTION = "scheduler"
TITLE = "Scheduler"

OPTIONS = (
    cfg.StrOpt(
        "client-id",
        short="c",
        default="",
        max_length=MOST_CLIENT_ID_CHARACTERS,
        sample_default="<project id>_<host name>",
        metavar="ID",
        help="The name of this node at the API. Default is the project id, an underscore and the "
        "host name.",
    ),
    cfg.BoolOpt(
        "no-api",
        short="n",
        default=False,
        help="Run the jobs of the job directory only, without the API.",
    ),
    cfg.StrOpt(
        "jobs-dir",
        short="f",
        default="/etc/freezer/scheduler/conf.d",
        metavar="DIRECTORY",
        deprecated_opts=[cfg.DeprecatedOpt("conf")],
        help="The directory of job files. The variable FREEZER_SCHEDULER_CONF_D sets it too.",
    ),
    cfg.IntOpt(
        "interval",
        short="i",
        default=60,
        min=1,
        max=86400,
        metavar="SECONDS",
        help="How often the API is asked for jobs, in seconds.",
    ),
    cfg.BoolOpt(
        "no-daemon",
        default=False,
        help="Stay in the foreground and log to standard error.",
    ),
    cfg.IntOpt(
        "concurrent-jobs",
        default=1,
        min=1,
        max=1000,
        metavar="COUNT",
        help="How many jobs may run at the same time.",
    ),
    cfg.BoolOpt(
        "disable-exec",
        default=False,
        help="Refuse jobs with an action of the kind exec, which runs any command.",
    ),
    cfg.BoolOpt(
        "session-required",
        default=False,
        help="Do not run a job whose session cannot be started, in place of running it outside the "
        "session. Its result is then fail.",
    ),
    cfg.ListOpt(
        "allowed-commands",
        metavar="COMMAND,COMMAND",
        help="The commands that exec actions may run, word for word; a last word * stands for any "
        "further words without a pipe, as in: /usr/local/bin/dump-db * for all arguments. Empty "
        "allows none, no value allows all.",
    ),
    cfg.ListOpt(
        "allowed-paths",
        metavar="DIRECTORY,DIRECTORY",
        help="Backups and restores may only read and write below these directories, local storages "
        "included; links and .. are resolved. Empty allows none, no value allows all.",
    ),
    cfg.StrOpt(
        "agent",
        default="",
        metavar="PROGRAM",
        help="The program that runs the actions. Default is freezer-agent beside this program, "
        "or in the PATH.",
    ),
    cfg.StrOpt(
        "state-dir",
        default="",
        sample_default="/var/lib/freezer",
        metavar="DIRECTORY",
        help="Where schedules and undelivered reports are kept over a restart. Default is "
        "/var/lib/freezer for root, ~/.freezer for other users.",
    ),
    cfg.BoolOpt(
        "insecure",
        default=False,
        help="Do not verify the TLS certificates of the API and of Keystone, here and in the agent.",
    ),
    cfg.BoolOpt(
        "enable-v1-api",
        default=False,
        help="Accepted for old configurations and without effect: v2 of the API is spoken.",
    ),
    cfg.BoolOpt(
        "centralized-scheduler",
        default=False,
        help="Run the jobs of all projects that name this client, each by the trust that its user "
        "gave. The scheduler must log in with the user and password that the API entrusts jobs to.",
    ),
)
