"""Decides whether a caller may do something."""

from collections.abc import Callable

from oslo_config import cfg
from oslo_policy import opts, policy

from freezer_api.errors import AccessForbidden
from freezer_api.identity.context import Context
from freezer_api.policies import list_rules
from freezer_api.policies.file import PolicyFileInvalid

REMEMBERED_SECONDS = 1.0
"""How long a decision holds: one takes the library 0.3 ms, more than a list of ten jobs takes in
all, and a scheduler's poll or a burst of reports asks for the same one again and again."""

_MOST_REMEMBERED = 10_000


class Enforcer:
    """The rules, as the operator's policy file left them.

    A change of the file counts within REMEMBERED_SECONDS. Options are those of oslo.policy:
    `[oslo_policy] policy_file`, `enforce_scope` and so on. `seconds` is a clock that only grows.
    """

    def __init__(self, conf: cfg.ConfigOpts, seconds: Callable[[], float]) -> None:
        self._policy = _oslo_enforcer(conf)
        self._seconds = seconds
        self._remembered: dict[tuple[Context, str], bool] = {}
        self._remembered_until = 0.0

    def allows(self, context: Context, rule: str) -> bool:
        """Whether the rule lets the caller act in the project of the request.

        Raises PolicyFileInvalid while the file cannot be read: nobody is let in by other rules.
        """
        now = self._seconds()
        if now >= self._remembered_until or len(self._remembered) >= _MOST_REMEMBERED:
            # A new dictionary: another thread may be filling the old one.
            self._remembered = {}
            self._remembered_until = now + REMEMBERED_SECONDS
        remembered = self._remembered
        asked = (context, rule)
        decision = remembered.get(asked)
        if decision is None:
            decision = remembered[asked] = self._decide(context, rule)
        return decision

    def require(self, context: Context, rule: str) -> None:
        """Raise AccessForbidden unless the rule lets the caller act."""
        if not self.allows(context, rule):
            raise AccessForbidden("You are not allowed to access this resource")

    def _decide(self, context: Context, rule: str) -> bool:
        credentials = {
            "user_id": context.user_id,
            "project_id": context.own_project_id,
            "roles": list(context.roles),
            "domain_id": context.domain_id or None,
            "system": context.system_scope or None,
        }
        try:
            return bool(self._policy.enforce(rule, {"project_id": context.project_id}, credentials))
        except policy.InvalidScope:
            return False
        except (OSError, ValueError) as error:
            # The file changed under the running service, and nobody knows who may do what.
            reason = " ".join(str(error).split())
            raise PolicyFileInvalid(f"The policy file cannot be used: {reason}") from error


def sample_enforcer() -> policy.Enforcer:
    """For the tools of oslo.policy, which compare a policy file with the defaults."""
    conf = cfg.ConfigOpts()
    conf([], project="freezer", default_config_files=[], default_config_dirs=[])
    return _oslo_enforcer(conf)


def _oslo_enforcer(conf: cfg.ConfigOpts) -> policy.Enforcer:
    opts.set_defaults(conf)
    enforcer = policy.Enforcer(conf)
    enforcer.register_defaults(list_rules())
    return enforcer
