"""[sql] The database of the sql backend."""

from oslo_config import cfg

GROUP = "sql"

DEFAULT_FILE = "/var/lib/freezer/freezer-api.sqlite"

DEFAULT_CONNECTION = f"sqlite:///{DEFAULT_FILE}"

OPTIONS = [
    cfg.StrOpt(
        "connection",
        default=DEFAULT_CONNECTION,
        secret=True,
        deprecated_opts=[cfg.DeprecatedOpt("connection", group="database")],
        help="The database as an SQLAlchemy URL: sqlite:////ABSOLUTE/PATH, "
        "mysql+pymysql://USER:PASSWORD@HOST/DATABASE?charset=utf8mb4 or "
        "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE.",
    ),
]
