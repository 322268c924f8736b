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
    cfg.StrOpt(
        "require-storages",
        default="all",
        choices=["all", "any"],
        help="With several storages: whether all must take a backup for the run to be a success, "
        "or any one of them is enough. What the others hold is valid in both cases.",
    ),
    cfg.IntOpt(
        "queue-size",
        default=4,
        min=1,
        max=1024,
        metavar="CHUNKS",
        help="How many chunks of the stream (up to 1 MiB each) may wait in memory for a storage "
        "that is slower than its source. Each of several storages has a queue of its own.",
    ),
    cfg.Opt(
        "spool-limit",
        type=Rate(),
        default=1 << 30,
        metavar="SIZE",
        help="With several storages: the most bytes of the stream, also as 500M or 10G (powers of "
        "1024), that may wait for each that is slower than the others in a file of the temporary "
        "folder (TMPDIR). The others get on meanwhile. 0 keeps all in step with the slowest.",
    ),
    cfg.IntOpt(
        "stall-timeout",
        default=900,
        min=1,
        metavar="SECONDS",
        help="With several storages: one that takes nothing for so long is given up, and named.",
    ),
    cfg.IntOpt(
        "storage-attempts",
        default=6,
        min=1,
        max=100,
        metavar="NUMBER",
        help="How often to try what a storage failed to do for a reason that may pass, with "
        "pauses that grow from one second to a minute.",
    ),
    cfg.Opt(
        "upload-limit",
        type=Rate(),
        default=-1,
        metavar="RATE",
        help="The most bytes per second to send, also as 10K, 120M or 10G (powers of 1024): over "
        "all storages and connections of the run together. -1 is no limit.",
    ),
    cfg.Opt(
        "download-limit",
        type=Rate(),
        default=-1,
        metavar="RATE",
        help="The most bytes per second to fetch, also as 10K, 120M or 10G (powers of 1024): over "
        "all storages and connections of the run together. -1 is no limit.",
    ),
)

REMOTE_TITLE = "Access to remote storages"

REMOTE_OPTIONS = (
    cfg.StrOpt("ssh-host", default="", metavar="HOST", help="The host of storage ssh."),
    cfg.PortOpt("ssh-port", default=22, metavar="PORT", help="The port of storage ssh."),
    cfg.StrOpt(
        "ssh-username",
        default="",
        metavar="USER",
        help="The user for storage ssh. Without one it is the user who runs the agent.",
    ),
    cfg.StrOpt(
        "ssh-key",
        default="~/.ssh/id_rsa",
        metavar="FILE",
        help="The private key for storage ssh. Keys of a running SSH agent are tried after it.",
    ),
    cfg.StrOpt(
        "ssh-password",
        default="",
        secret=True,
        metavar="PASSWORD",
        help="The password for storage ssh, preferred to the key. Every user of the machine can "
        "read a command line: better give --ssh-password-file, or set FREEZER_SSH_PASSWORD.",
    ),
    cfg.StrOpt(
        "ssh-password-file",
        default="",
        metavar="FILE",
        help="The file whose first line is the password for storage ssh.",
    ),
    cfg.StrOpt(
        "ssh-known-hosts",
        default="~/.ssh/known_hosts",
        metavar="FILE",
        help="The file with the host keys that storage ssh accepts.",
    ),
    cfg.BoolOpt(
        "ssh-accept-new-host-key",
        default=False,
        help="Add the key of a host that has none there yet to --ssh-known-hosts and go on. One "
        "that differs from what is there is refused all the same.",
    ),
    cfg.StrOpt("ftp-host", default="", metavar="HOST", help="The host of ftp and ftps."),
    cfg.PortOpt("ftp-port", default=21, metavar="PORT", help="The port of ftp and ftps."),
    cfg.StrOpt("ftp-username", default="", metavar="USER", help="The user for ftp and ftps."),
    cfg.StrOpt(
        "ftp-password",
        default="",
        secret=True,
        metavar="PASSWORD",
        help="The password for ftp and ftps. Better give --ftp-password-file, or set "
        "FREEZER_FTP_PASSWORD.",
    ),
    cfg.StrOpt(
        "ftp-password-file",
        default="",
        metavar="FILE",
        help="The file whose first line is the password for ftp and ftps.",
    ),
    cfg.StrOpt(
        "ftp-certfile",
        default="",
        metavar="FILE",
        help="The client certificate for ftps (PEM).",
    ),
    cfg.StrOpt(
        "ftp-keyfile",
        default="",
        metavar="FILE",
        help="The key of --ftp-certfile, unless that file has it too.",
    ),
    cfg.StrOpt(
        "access-key",
        default="",
        secret=True,
        metavar="KEY",
        help="The access key for storage s3; else ACCESS_KEY or AWS_ACCESS_KEY_ID of the "
        "environment.",
    ),
    cfg.StrOpt(
        "secret-key",
        default="",
        secret=True,
        metavar="KEY",
        help="The secret key for storage s3. Better give --secret-key-file, or set SECRET_KEY or "
        "AWS_SECRET_ACCESS_KEY.",
    ),
    cfg.StrOpt(
        "secret-key-file",
        default="",
        metavar="FILE",
        help="The file whose first line is the secret key for storage s3.",
    ),
    cfg.StrOpt(
        "endpoint",
        default="",
        metavar="URL",
        help="The endpoint of storage s3; else ENDPOINT or AWS_ENDPOINT_URL of the environment. "
        "Amazon's is https://s3.REGION.amazonaws.com.",
    ),
    cfg.StrOpt(
        "s3-region",
        default="",
        metavar="REGION",
        help="The region of storage s3; else AWS_REGION or AWS_DEFAULT_REGION, else us-east-1.",
    ),
    cfg.StrOpt(
        "s3-addressing",
        default="path",
        choices=["path", "virtual", "auto"],
        help="Whether the bucket's name stands in the path of URLs or in the name of the host.",
    ),
    cfg.StrOpt(
        "osrc",
        metavar="FILE",
        help="The file with the credentials for storage swift: its lines 'export OS_NAME=value' "
        "take the place of the environment. No shell reads it.",
    ),
    cfg.BoolOpt(
        "prefix-container",
        default=False,
        help="Put the word freezer and an underline before the name of a Swift container that does not "
        "begin so.",
    ),
    cfg.StrOpt(
        "ca-file",
        default="",
        metavar="FILE",
        help="The certificates of the authorities (PEM) that the servers of swift, s3 and ftps "
        "are verified with, in place of the system's; for swift else OS_CACERT.",
    ),
)

SECTION_NAMES = frozenset(
    option.dest
    for option in (*OPTIONS, *REMOTE_OPTIONS)
    if option.dest
    not in {
        "upload_limit",
        "download_limit",
        "require_storages",
        "queue_size",
        "spool_limit",
        "stall_timeout",
    }
) | {"max_segment_size", "insecure", "os_trust_id", "os_identity_api_version", "project_id"}
"""What a section of one of several storages may settle anew."""
