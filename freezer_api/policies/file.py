"""The operator's policy file, looked at before it counts."""

from pathlib import Path

from oslo_config import cfg
from oslo_policy import opts, policy

from freezer_api.errors import ApiError
from freezer_api.policies import list_rules


class PolicyFileInvalid(ApiError):
    """The policy file cannot be used: requests would be refused, or let in by other rules."""


def policy_file(conf: cfg.ConfigOpts) -> Path | None:
    """The file that `[oslo_policy] policy_file` names; None if there is none: defaults hold."""
    opts.set_defaults(conf)
    found = conf.find_file(conf.oslo_policy.policy_file)
    return Path(found) if found else None


def unknown_rules(path: Path) -> list[str]:
    """Names in the file that no route asks for: misspelled, or of another release.

    Raises PolicyFileInvalid for a file that cannot be read, is no YAML mapping, or holds rules
    that refer to unknown ones or in circles.
    """
    try:
        own = policy.parse_file_contents(path.read_text())
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = " ".join(str(error).split())  # that of YAML is drawn over five lines
        raise PolicyFileInvalid(f"The policy file {path} cannot be read: {reason}") from error
    defaults = {rule.name: rule.check_str for rule in list_rules()}
    try:
        rules = policy.Rules.from_dict({**defaults, **own})
    except (TypeError, AttributeError, ValueError) as error:
        raise PolicyFileInvalid(f"The policy file {path} is no mapping of rules") from error
    _check_syntax(path, own, rules)
    _check_references(path, rules)
    used = _references(rules)
    return sorted(name for name in own if name not in defaults and name not in used)


def _check_syntax(path: Path, own: dict[str, str], rules: policy.Rules) -> None:
    # The library takes a rule that it cannot read for one that lets nobody in.
    unread = [name for name, text in own.items() if str(rules[name]) == "!" and text != "!"]
    if unread:
        raise PolicyFileInvalid(
            f"The policy file {path}: these rules cannot be understood: {', '.join(sorted(unread))}"
        )


def _check_references(path: Path, rules: policy.Rules) -> None:
    conf = cfg.ConfigOpts()
    conf([], project="freezer", default_config_files=[], default_config_dirs=[])
    opts.set_defaults(conf)
    enforcer = policy.Enforcer(conf, use_conf=False)
    enforcer.set_rules(rules, use_conf=False)
    try:
        enforcer.check_rules(raise_on_violation=True)
    except policy.InvalidDefinitionError as error:
        raise PolicyFileInvalid(f"The policy file {path}: {error}") from error


def _references(rules: policy.Rules) -> set[str]:
    """Names of rules that other rules are made of, as `rule:NAME` in their text."""
    words = " ".join(str(check) for check in rules.values()).replace("(", " ").replace(")", " ")
    return {word.removeprefix("rule:") for word in words.split() if word.startswith("rule:")}
