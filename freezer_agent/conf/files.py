"""Options of the file trees that are backed up and restored."""

from oslo_config import cfg

from freezer_agent.conf.kinds import Share

TITLE = "Files to back up"

OPTIONS = (
    cfg.StrOpt(
        "path-to-backup",
        short="F",
        metavar="PATH",
        deprecated_opts=[cfg.DeprecatedOpt("file-to-backup")],
        help="The file or directory to back up.",
    ),
    cfg.MultiStrOpt(
        "exclude",
        metavar="PATTERN",
        help="Leave out what matches the shell pattern, for example .cache. May be given several "
        "times; in a job file one pattern a line.",
    ),
    cfg.StrOpt(
        "dereference-symlink",
        choices=["none", "soft", "hard", "all"],
        help="Store the files that soft links, hard links or all links refer to in place of the "
        "links.",
    ),
    cfg.StrOpt(
        "compression",
        default="gzip",
        choices=["gzip", "bzip2", "xz", "zstd", "none"],
        help="How the stream is compressed. Former releases read gzip, bzip2 and xz.",
    ),
    cfg.IntOpt(
        "max-segment-size",
        short="M",
        default=33554432,
        min=1,
        metavar="BYTES",
        deprecated_opts=[cfg.DeprecatedOpt("max-seg-size")],
        help="The largest segment that is uploaded at once to a storage that cuts streams into "
        "segments, in bytes.",
    ),
    cfg.IntOpt(
        "rsync-block-size",
        default=4096,
        min=1,
        metavar="BYTES",
        help="The block size of the rsync engines, in bytes.",
    ),
    cfg.BoolOpt(
        "sync",
        default=True,
        help="Let the kernel write its buffers to the disks before the backup of a file tree.",
    ),
    cfg.BoolOpt(
        "consistency-check",
        default=False,
        help="Compute a checksum over names, modes and contents of the source before the backup, "
        "and report it as consistency_checksum.",
    ),
)

RESTORE_TITLE = "Restore"

RESTORE_OPTIONS = (
    cfg.StrOpt(
        "restore-abs-path",
        metavar="DIRECTORY",
        help="The directory to restore into. It is made if it is missing.",
    ),
    cfg.StrOpt(
        "restore-from-date",
        metavar="YYYY-MM-DDThh:mm:ss",
        help="Restore the newest backup that is not younger than this moment: local time, unless "
        "a zone follows (Z, +02:00).",
    ),
    cfg.StrOpt(
        "session-id",
        metavar="ID",
        help="With --session-tag: restore the backup that was made in this run of the session, so "
        "that several nodes go back to the same moment. A backup keeps both words; the scheduler "
        "gives them.",
    ),
    cfg.IntOpt(
        "session-tag",
        min=0,
        metavar="NUMBER",
        help="The number of the run of the session that --session-id names.",
    ),
    cfg.MultiStrOpt(
        "include",
        metavar="PATTERN",
        help="Restore, or list with action files, only what fits: a shell pattern with a slash "
        "inside starts at the top of the backup, and one asterisk stops at slashes, two do not; "
        "one without a slash fits at any depth. A directory that fits brings all that is in it. "
        "Nothing else in the target is touched. May be given several times; in a job file one "
        "pattern a line.",
    ),
    cfg.BoolOpt(
        "overwrite",
        default=False,
        help="Restore into a directory that is not empty. Files there that the backup does not "
        "have may be removed.",
    ),
    cfg.BoolOpt(
        "restore-aside",
        default=False,
        help="Restore into a directory beside the target, and put it in the place of the target "
        "when all is there: after an error the target is as it was. Takes room for both.",
    ),
    cfg.StrOpt(
        "consistency-checksum",
        metavar="SHA256",
        help="Compare the restored files with this checksum, as --consistency-check reported it.",
    ),
)

LOOK_TITLE = "Looking at backups (with actions list and verify)"

LOOK_OPTIONS = (
    cfg.Opt(
        "read-data",
        type=Share(),
        metavar="N%",
        help="With action verify: read every byte of this share of the backups, those that were "
        "read longest ago first, so that runs with 10% come round to everything in ten. Without a "
        "value all of them.",
    ),
    cfg.StrOpt(
        "since",
        metavar="YYYY-MM-DDThh:mm:ss",
        help="Only backups that are not older: local time, unless a zone follows.",
    ),
    cfg.StrOpt(
        "until",
        metavar="YYYY-MM-DDThh:mm:ss",
        help="Only backups that are not younger: local time, unless a zone follows.",
    ),
)
