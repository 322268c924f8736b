"""Options of the log: those of oslo.log that the scheduler offers.

They are declared here, and not taken from oslo.log, because importing that library takes longer
than `status` does.
"""

from oslo_config import cfg

SECTION = "DEFAULT"
TITLE = "Log"

OPTIONS = (
    cfg.BoolOpt("debug", short="d", default=False, help="Log everything."),
    cfg.BoolOpt(
        "verbose",
        short="v",
        default=True,
        help="Log what happens; --noverbose logs warnings and errors only.",
    ),
    cfg.StrOpt(
        "log-file",
        default="",
        metavar="FILE",
        deprecated_opts=[cfg.DeprecatedOpt("logfile")],
        help="The log file. Default is standard error with --no-daemon, else "
        "/var/log/freezer/freezer-scheduler.log, or ~/.freezer/freezer-scheduler.log where that "
        "cannot be written.",
    ),
    cfg.StrOpt(
        "log-dir",
        default="",
        metavar="DIRECTORY",
        deprecated_opts=[cfg.DeprecatedOpt("logdir")],
        help="The directory that a relative --log-file lies in.",
    ),
    cfg.StrOpt(
        "log-config-append",
        default="",
        metavar="FILE",
        deprecated_opts=[cfg.DeprecatedOpt("log-config")],
        help="A configuration file of Python's logging, used in place of all other log options.",
    ),
    cfg.StrOpt(
        "log-format",
        default="",
        metavar="FORMAT",
        help="How a line of the log is written, in the form of Python's logging.",
    ),
    cfg.StrOpt(
        "log-date-format",
        default="",
        metavar="FORMAT",
        help="How times are written in the log.",
    ),
    cfg.BoolOpt("use-stderr", default=False, help="Log to standard error as well."),
    cfg.BoolOpt(
        "watch-log-file",
        default=False,
        help="Open the log file anew when it was moved away.",
    ),
    cfg.BoolOpt("use-syslog", default=False, help="Log to syslog."),
    cfg.BoolOpt(
        "use-syslog-rfc-format",
        default=True,
        help="Begin a line of syslog with the name of the program.",
    ),
    cfg.StrOpt(
        "syslog-log-facility",
        default="LOG_USER",
        metavar="FACILITY",
        help="The facility of syslog.",
    ),
    cfg.BoolOpt("use-journal", default=False, help="Log to the journal of systemd."),
    cfg.BoolOpt("use-json", default=False, help="Write each line of the log as JSON."),
)
