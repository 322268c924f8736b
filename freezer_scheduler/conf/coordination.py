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
        help="The service by which several schedulers with one client id share their jobs, as "
        "redis://HOST:6379, etcd3+http://HOST:2379 or file:///A/SHARED/DIRECTORY. Without it a "
        "client id has one scheduler.",
    ),
)
