"""[storage] Where the documents are kept."""

from oslo_config import cfg

GROUP = "storage"

OPTIONS = [
    cfg.StrOpt(
        "backend",
        default="sql",
        choices=[
            ("sql", "A database, by default an SQLite file; see [sql]."),
            ("elasticsearch", "An Elasticsearch cluster of version 8 or 9; see [elasticsearch]."),
            ("sqlalchemy", "Another word for sql, as releases up to 19 called it."),
        ],
        help="The kind of document store.",
    ),
]
