"""[healthcheck] The answer that load balancers look at."""

from oslo_config import cfg

GROUP = "healthcheck"

OPTIONS = [
    cfg.StrOpt(
        "disable_by_file_path",
        default="/etc/freezer/healthcheck_disable",
        help="While this file is there, /healthcheck answers 503, so that a load balancer sends "
        "no more requests to this node.",
    ),
]
