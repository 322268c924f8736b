"""The rules of access, one module per resource. Operators change them in policy.yaml."""

from oslo_policy import policy

from freezer_api.policies import actions, backups, base, clients, jobs, runs, sessions


def list_rules() -> list[policy.RuleDefault]:
    """Every rule with its default."""
    return [
        *base.RULES,
        *backups.RULES,
        *clients.RULES,
        *actions.RULES,
        *jobs.RULES,
        *runs.RULES,
        *sessions.RULES,
    ]
