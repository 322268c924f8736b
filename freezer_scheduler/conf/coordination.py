"""Options of several schedulers that share one client id."""

from oslo_config import cfg

SECTION = "coordination"
TITLE = "Several schedulers of one client"

OPTIONS = (
    cfg.StrOpt(
        "backend-url",
        default="",
        secret=True,
        metavar="URL",
        help="The service that schedulers with one client id agree by. Not in this release: the "
        "scheduler refuses to start.",
    ),
)
