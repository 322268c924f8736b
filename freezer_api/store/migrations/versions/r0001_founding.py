"""The tables of the founding release, 20.0.0."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_DIGEST = sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them where they are missing."""
    op.create_table(
        "freezer_schema",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "freezer_documents",
        sa.Column("seq", _SEQUENCE, primary_key=True),
        sa.Column("id_digest", _DIGEST, nullable=False, unique=True),
        sa.Column("collection", sa.String(16), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("time_stamp", sa.BigInteger),
        sa.Column("document_id", sa.Text, nullable=False),
        sa.Column("document", _LONG_TEXT, nullable=False),
        if_not_exists=True,
        sqlite_autoincrement=True,
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "freezer_terms",
        sa.Column("term", _DIGEST, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        if_not_exists=True,
        sqlite_with_rowid=False,
    )
