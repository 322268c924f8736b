"""[centralized_scheduler] Jobs that a scheduler of the operator runs for the users."""

from oslo_config import cfg

GROUP = "centralized_scheduler"

OPTIONS = [
    cfg.BoolOpt(
        "enabled",
        default=True,
        help="Whether a job of a central client gets a delegation (a Keystone trust) of its user.",
    ),
    cfg.BoolOpt(
        "enforce_trusts",
        default=False,
        help="Whether every job gets a delegation, also the jobs of ordinary clients.",
    ),
]
