"""Options of where backups are kept."""

from oslo_config import cfg

from freezer_agent.conf.kinds import Rate

TITLE = "Where backups are kept"

OPTIONS = (
    cfg.StrOpt(
        "storage",
        default="swift",
        choices=["local", "swift", "ssh", "s3", "ftp", "ftps"],
        help="The kind of storage. 'local' is a directory, which may be a mounted file server.",
    ),
    cfg.StrOpt(
        "container",
        short="C",
        default="freezer_backups",
        metavar="CONTAINER",
        help="The directory, the Swift container or the S3 bucket (with an optional prefix).",
    ),
    cfg.Opt(
        "upload-limit",
        type=Rate(),
        default=-1,
        metavar="RATE",
        help="The most bytes per second to send, also as 10K, 120M or 10G.",
    ),
    cfg.Opt(
        "download-limit",
        type=Rate(),
        default=-1,
        metavar="RATE",
        help="The most bytes per second to fetch, also as 10K, 120M or 10G.",
    ),
)

REMOTE_TITLE = "Access to remote storages"

REMOTE_OPTIONS = (
    cfg.StrOpt(
        "ssh-key",
        default="~/.ssh/id_rsa",
        metavar="FILE",
        help="The private key for storage ssh.",
    ),
    cfg.StrOpt("ssh-username", default="", metavar="USER", help="The user for storage ssh."),
    cfg.StrOpt("ssh-host", default="", metavar="HOST", help="The host of storage ssh."),
    cfg.PortOpt("ssh-port", default=22, metavar="PORT", help="The port of storage ssh."),
    cfg.StrOpt(
        "ssh-password",
        default="",
        secret=True,
        metavar="PASSWORD",
        help="The password for storage ssh, preferred to the key. Put it into a job file: a "
        "command line can be read by every user of the machine.",
    ),
    cfg.StrOpt("ftp-username", default="", metavar="USER", help="The user for ftp and ftps."),
    cfg.StrOpt(
        "ftp-password",
        default="",
        secret=True,
        metavar="PASSWORD",
        help="The password for ftp and ftps.",
    ),
    cfg.StrOpt("ftp-host", default="", metavar="HOST", help="The host of ftp and ftps."),
    cfg.PortOpt("ftp-port", default=21, metavar="PORT", help="The port of ftp and ftps."),
    cfg.StrOpt("ftp-keyfile", default="", metavar="FILE", help="The client key for ftps."),
    cfg.StrOpt("ftp-certfile", default="", metavar="FILE", help="The client certificate for ftps."),
    cfg.StrOpt(
        "access-key",
        default="",
        secret=True,
        metavar="KEY",
        help="The access key for storage s3.",
    ),
    cfg.StrOpt(
        "secret-key",
        default="",
        secret=True,
        metavar="KEY",
        help="The secret key for storage s3.",
    ),
    cfg.StrOpt("endpoint", default="", metavar="URL", help="The endpoint of storage s3."),
)
