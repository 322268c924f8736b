"""Options of the commands that ask the API. They exist on the command line only."""

from oslo_config import cfg

WITHOUT_VALUE = {"--watch": "2"}
"""What an option stands for whose value is left out."""

SECTION = ""
TITLE = "Options of commands"

OPTIONS = (
    cfg.StrOpt(
        "job", short="j", default="", metavar="ID", help="The job; ID,ID where several fit."
    ),
    cfg.StrOpt("session", short="s", default="", metavar="ID", help="The session."),
    cfg.StrOpt(
        "client",
        default="",
        metavar="ID",
        help="The client that client-get prints, or those (ID,ID) that session-restore restores.",
    ),
    cfg.StrOpt("backup", default="", metavar="ID", help="The backup."),
    cfg.StrOpt(
        "file",
        default="",
        metavar="FILE",
        help="The JSON document to create from, or the file to save it in.",
    ),
    cfg.BoolOpt(
        "active-only",
        short="a",
        default=False,
        help="List only jobs that are not completed.",
    ),
    cfg.BoolOpt("all", default=False, help="List the jobs of all clients."),
    cfg.BoolOpt("long", default=False, help="List with more columns."),
    cfg.StrOpt(
        "status", default="", metavar="WORD", help="List only what has this status, as scheduled."
    ),
    cfg.StrOpt(
        "result",
        default="",
        metavar="WORD",
        help="List only what ended so: success, fail, aborted.",
    ),
    cfg.StrOpt("search", default="", metavar="TEXT", help="List only what holds this text."),
    cfg.StrOpt("sort", default="", metavar="COLUMN", help="Order a list by one of its columns."),
    cfg.BoolOpt("reverse", default=False, help="Turn the order of a list round."),
    cfg.IntOpt("limit", min=1, metavar="COUNT", help="List so many at most."),
    cfg.IntOpt("offset", default=0, min=0, metavar="COUNT", help="Leave the first ones out."),
    cfg.FloatOpt(
        "watch",
        min=0.5,
        max=86400,
        metavar="SECONDS",
        help="Show a list again every so many seconds, 2 if none are named, until Ctrl-C.",
    ),
    cfg.BoolOpt("json", default=False, help="Print JSON for programs, not tables."),
)
