"""Options of the log: those of oslo.log that the agent offers, and two of its own.

They are declared here, and not taken from oslo.log, because importing that library costs 0.2 s.
"""

from oslo_config import cfg

TITLE = "Log"

OPTIONS = (
    cfg.StrOpt(
        "log-level",
        default="info",
        choices=["all", "debug", "info", "warn", "warning", "error", "critical"],
        help="The lowest level that is logged.",
    ),
)

OSLO_LOG_OPTIONS = (
    cfg.BoolOpt("debug", short="d", default=False, help="Log everything."),
    cfg.BoolOpt(
        "verbose",
        short="v",
        default=True,
        help="Log what happens; --noverbose logs warnings and errors only.",
    ),
    cfg.StrOpt(
        "log-config-append",
        metavar="FILE",
        deprecated_opts=[cfg.DeprecatedOpt("log-config")],
        help="A configuration file of Python's logging, used in place of all other log options.",
    ),
    cfg.StrOpt("log-date-format", metavar="FORMAT", help="How times are written in the log."),
    cfg.StrOpt(
        "log-dir",
        metavar="DIRECTORY",
        deprecated_opts=[cfg.DeprecatedOpt("logdir")],
        help="The directory that a relative --log-file lies in.",
    ),
    cfg.StrOpt(
        "log-file",
        metavar="FILE",
        deprecated_opts=[cfg.DeprecatedOpt("logfile")],
        help="The log file. Default is /var/log/freezer-agent/freezer-agent.log, or "
        "~/.freezer/freezer.log where that cannot be written.",
    ),
    cfg.StrOpt(
        "log-format",
        metavar="FORMAT",
        help="How a line of the log is written, in the form of Python's logging.",
    ),
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
