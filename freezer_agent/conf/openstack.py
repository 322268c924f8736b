"""Options of servers, volumes and images of a cloud. Credentials come as OS_* variables."""

from oslo_config import cfg

TITLE = "OpenStack servers, volumes and images"

OPTIONS = (
    cfg.StrOpt(
        "nova-inst-id",
        default="",
        metavar="ID",
        help="The server to back up or restore.",
    ),
    cfg.StrOpt("nova-inst-name", default="", metavar="NAME", help="The same, by name."),
    cfg.StrOpt(
        "nova-restore-network",
        metavar="ID",
        help="The network of the restored server.",
    ),
    cfg.StrOpt(
        "cinder-vol-id",
        default="",
        metavar="ID",
        deprecated_opts=[cfg.DeprecatedOpt("cinder-inst-id")],
        help="The volume to back up or restore by way of the image service.",
    ),
    cfg.StrOpt("cinder-vol-name", default="", metavar="NAME", help="The same, by name."),
    cfg.StrOpt(
        "cinderbrick-vol-id",
        default="",
        metavar="ID",
        help="The volume to attach to this host and back up as files.",
    ),
    cfg.StrOpt(
        "cindernative-vol-id",
        default="",
        metavar="ID",
        help="The volume that the block storage service backs up itself.",
    ),
    cfg.StrOpt(
        "cindernative-backup-id",
        metavar="ID",
        help="Restore exactly this backup of the block storage service.",
    ),
    cfg.StrOpt(
        "cindernative-backup-az",
        metavar="ZONE",
        help="The availability zone of the backup of the block storage service.",
    ),
    cfg.StrOpt(
        "cindernative-backup-container",
        metavar="CONTAINER",
        help="The container of the backup of the block storage service; {project_id}, "
        "{volume_id} and {backup_name} are replaced. Default is --container.",
    ),
    cfg.StrOpt("glance-image-id", default="", metavar="ID", help="The image to back up."),
    cfg.StrOpt("glance-image-name", default="", metavar="NAME", help="The same, by name."),
    cfg.StrOpt(
        "glance-image-name-filter",
        default="",
        metavar="TEXT",
        help="Back up the images whose name does not contain the text.",
    ),
    cfg.StrOpt(
        "project-id",
        metavar="ID",
        help="The project; without another choice all its servers or images.",
    ),
    cfg.StrOpt("os-trust-id", metavar="ID", help="The trust to authenticate with."),
    cfg.StrOpt(
        "os-identity-api-version",
        default="3",
        choices=["1", "2", "2.0", "3"],
        deprecated_opts=[cfg.DeprecatedOpt("os-auth-ver")],
        help="The version of the identity service's API.",
    ),
    cfg.BoolOpt(
        "insecure",
        default=False,
        help="Do not verify the TLS certificates of cloud services.",
    ),
    cfg.StrOpt(
        "temp-resource-prefix",
        default="freezer_",
        metavar="TEXT",
        help="How the names of temporary snapshots, volumes and images begin.",
    ),
)
