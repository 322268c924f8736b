"""Options of the databases that are made quiet for a backup."""

from oslo_config import cfg

TITLE = "Databases"

OPTIONS = (
    cfg.StrOpt(
        "mysql-conf",
        metavar="FILE",
        help="The file with host, user, password and port of the MySQL server.",
    ),
    cfg.StrOpt(
        "sql-server-conf",
        metavar="FILE",
        help="The file with the instance of the SQL Server.",
    ),
)
