"""Options of the commands that ask the API. They exist on the command line only."""

from oslo_config import cfg

SECTION = ""
TITLE = "Options of commands"

OPTIONS = (
    cfg.StrOpt(
        "job", short="j", default="", metavar="ID", help="The job; ID,ID where several fit."
    ),
    cfg.StrOpt("session", short="s", default="", metavar="ID", help="The session."),
    cfg.StrOpt("client", default="", metavar="ID", help="The client that client-get prints."),
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
    cfg.BoolOpt("json", default=False, help="Print JSON for programs, not tables."),
)
