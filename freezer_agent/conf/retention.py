"""Options of levels, and of what happens to old backups."""

from oslo_config import cfg

from freezer_agent.conf.kinds import FlagOrText, LengthOfTime

TITLE = "Levels of incremental backups"

OPTIONS = (
    cfg.BoolOpt(
        "incremental",
        default=False,
        help="Store only what changed since the last backup of the name, if there is one. A level "
        "option implies it.",
    ),
    cfg.IntOpt(
        "max-level",
        min=0,
        metavar="N",
        deprecated_opts=[cfg.DeprecatedOpt("max-backup-level")],
        help="A full backup, then levels 1 to N, then a full backup again. 0 is always full.",
    ),
    cfg.IntOpt(
        "always-level",
        min=0,
        metavar="N",
        help="A full backup, then levels 1 to N, and from there on another level N each time. "
        "Stands above --max-level.",
    ),
    cfg.FloatOpt(
        "restart-always-level",
        min=0,
        metavar="DAYS",
        help="Begin with a full backup again when this many days have passed since level 0.",
    ),
    cfg.Opt(
        "no-incremental",
        type=FlagOrText(),
        help="Always a full backup, and keep nothing that a later increment could build on.",
    ),
)

REMOVAL_TITLE = "Removing old backups (with action admin, or after a backup or restore)"

REMOVAL_OPTIONS = (
    cfg.FloatOpt(
        "remove-older-than",
        short="R",
        min=0,
        metavar="DAYS",
        deprecated_opts=[cfg.DeprecatedOpt("remove-older-then")],
        help="Remove the chains whose newest level is older than this many days.",
    ),
    cfg.StrOpt(
        "remove-before-date",
        metavar="YYYY-MM-DDThh:mm:ss",
        help="Remove the chains whose newest level is not younger than this moment: local time, "
        "unless a zone follows.",
    ),
    cfg.StrOpt(
        "remove-from-date",
        metavar="YYYY-MM-DDThh:mm:ss",
        help="The former name of --remove-before-date.",
    ),
    *(
        cfg.IntOpt(
            f"keep-{word}",
            min=1,
            metavar="N",
            help=f"Keep {what}, and what they build on; remove what no keep option counts.",
        )
        for word, what in (
            ("last", "the newest N backups"),
            ("hourly", "the newest backup of each of the last N hours that have one"),
            ("daily", "the newest backup of each of the last N days that have one"),
            ("weekly", "the newest backup of each of the last N weeks that have one"),
            ("monthly", "the newest backup of each of the last N months that have one"),
            ("yearly", "the newest backup of each of the last N years that have one"),
        )
    ),
    cfg.Opt(
        "keep-within",
        type=LengthOfTime(),
        metavar="TIME",
        help="Keep the backups that are at most this much older than the newest one: 14d, 2w, 6m, "
        "1y6m, 36h.",
    ),
    cfg.BoolOpt(
        "force",
        default=False,
        help="Remove the last backup of a name that can be restored too, which is kept otherwise.",
    ),
    cfg.IntOpt(
        "fullbackup-rotation",
        default=1,
        min=1,
        metavar="N",
        help="Keep the newest N full backups that the block storage service made itself.",
    ),
    cfg.BoolOpt(
        "cindernative-freezer-only",
        default=True,
        help="Let the rotation touch only the backups that Freezer made.",
    ),
)
