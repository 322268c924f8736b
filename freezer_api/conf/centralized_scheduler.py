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
    cfg.StrOpt(
        "auth_section",
        default="keystone_authtoken",
        help="The section of this file whose user the jobs are entrusted to. The central scheduler "
        "must log in as the same user.",
    ),
    cfg.ListOpt(
        "trusts_delegated_roles",
        default=["member"],
        help="The roles that a trust carries. Users who have not all of them in a project cannot "
        "give jobs of it to the central scheduler. An empty value stands for all roles of the "
        "user's token.",
    ),
    cfg.StrOpt(
        "service_user",
        deprecated_for_removal=True,
        deprecated_reason="Jobs are entrusted to the user of auth_section; this is ignored.",
        help="The user whom older releases entrusted the jobs to.",
    ),
    cfg.StrOpt(
        "service_user_domain",
        default="default",
        deprecated_for_removal=True,
        deprecated_reason="Jobs are entrusted to the user of auth_section; this is ignored.",
        help="The domain of service_user.",
    ),
]
