"""Options of encryption."""

from oslo_config import cfg

TITLE = "Encryption"

OPTIONS = (
    cfg.StrOpt(
        "encrypt-pass-file",
        metavar="FILE",
        help="The file whose first line is the pass phrase that backups are encrypted with, and "
        "opened with on restore.",
    ),
)
