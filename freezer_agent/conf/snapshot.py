"""Options of frozen views of a file tree."""

from oslo_config import cfg

from freezer_agent.conf.kinds import FlagOrText

TITLE = "Snapshots of the file system"

OPTIONS = (
    cfg.Opt(
        "snapshot",
        short="s",
        type=FlagOrText(),
        help="Back up a snapshot of the file system that holds the path, not the live files.",
    ),
    cfg.StrOpt("lvm-srcvol", metavar="DEVICE", help="The logical volume to take a snapshot of."),
    cfg.StrOpt("lvm-volgroup", metavar="NAME", help="The volume group of that volume."),
    cfg.StrOpt(
        "lvm-snapname",
        metavar="NAME",
        help="The name of the snapshot. Default is a unique one.",
    ),
    cfg.StrOpt(
        "lvm-snap-perm",
        dest="lvm_snapperm",
        default="ro",
        choices=["ro", "rw"],
        help="Whether the snapshot can be written to.",
    ),
    cfg.StrOpt(
        "lvm-snapsize",
        default="1G",
        metavar="SIZE",
        help="The size of the snapshot: 500M, 8G, or 80%FREE.",
    ),
    cfg.StrOpt("lvm-dirmount", metavar="DIRECTORY", help="Where the snapshot is mounted."),
    cfg.StrOpt("lvm-auto-snap", metavar="PATH", help="A former way to say --snapshot."),
)
