"""freezer-status upgrade check: whether this installation can serve.

Exit codes are those of all OpenStack services: 0 all is well; 1 something should be looked at;
2 something must be done before the service can run; 255 the checks themselves failed.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from freezer_api import conf as options
from freezer_api.assembly import login_objection, store_from
from freezer_api.conf.outdated import outdated_options
from freezer_api.errors import StoreUnavailable
from freezer_api.policies.file import PolicyFileInvalid, policy_file, unknown_rules
from freezer_api.store.base import ManagedStore

if TYPE_CHECKING:
    from argparse import ArgumentParser

CHECKS_FAILED = 255


class Verdict(IntEnum):
    """What a check found; the worst one is the exit code."""

    SUCCESS = 0
    WARNING = 1
    FAILURE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check and its outcome."""

    check: str
    verdict: Verdict
    details: str


def main(
    argv: Sequence[str] | None = None,
    *,
    make_store: Callable[[cfg.ConfigOpts], ManagedStore] = store_from,
) -> int:
    """Run the checks, print what they found, and return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    # What libraries would log is in the findings.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        conf = options.load(arguments, prog="freezer-status", cli_opts=[_commands()])
    except options.ConfigurationInvalid as error:
        print(f"freezer-status: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return CHECKS_FAILED
    except SystemExit as stop:  # argparse: wrong arguments, --help, --version
        return CHECKS_FAILED if stop.code else 0
    findings = [
        _store_finding(conf, make_store),
        _policy_finding(conf),
        *_configuration_findings(conf),
    ]
    shown = _as_json(findings) if conf.category.json else _as_text(findings)
    print(shown)  # noqa: T201 - the command's output
    return max(finding.verdict for finding in findings)


def _commands() -> cfg.SubCommandOpt:
    return cfg.SubCommandOpt("category", title="categories", dest="category", handler=_add_parsers)


def _add_parsers(categories: Any) -> None:
    upgrade: ArgumentParser = categories.add_parser("upgrade", help="checks around an upgrade")
    commands = upgrade.add_subparsers(dest="command", metavar="COMMAND", required=True)
    check = commands.add_parser("check", help="whether the service can run as configured")
    check.add_argument("--json", action="store_true", help="as JSON")


def _store_finding(
    conf: cfg.ConfigOpts, make_store: Callable[[cfg.ConfigOpts], ManagedStore]
) -> Finding:
    name = "Document store"
    try:
        with closing(make_store(conf)) as store:
            contents = store.describe()
            ready = store.ready()
    except StoreUnavailable as error:
        return Finding(check=name, verdict=Verdict.FAILURE, details=str(error))
    if not contents:
        details = "Nothing has been made yet. Run `freezer-manage db sync`"
        return Finding(check=name, verdict=Verdict.FAILURE, details=details)
    versions = ", ".join(sorted({str(part.version) for part in contents}))
    if not ready:
        details = (
            f"The store has schema version {versions}, with which this release cannot work, or "
            "parts of it are missing. Run `freezer-manage db sync`"
        )
        return Finding(check=name, verdict=Verdict.FAILURE, details=details)
    documents = sum(part.documents for part in contents)
    details = f"{conf.storage.backend}: schema version {versions}, {documents} documents"
    return Finding(check=name, verdict=Verdict.SUCCESS, details=details)


def _policy_finding(conf: cfg.ConfigOpts) -> Finding:
    name = "Policy file"
    path = policy_file(conf)
    if path is None:
        details = f"There is no {conf.oslo_policy.policy_file}: the rules of this release hold"
        return Finding(check=name, verdict=Verdict.SUCCESS, details=details)
    try:
        unknown = unknown_rules(path)
    except PolicyFileInvalid as error:
        return Finding(check=name, verdict=Verdict.FAILURE, details=str(error))
    if unknown:
        details = (
            f"{path} has rules that no route asks for, misspelled or of another release: "
            f"{', '.join(unknown)}. etc/policy.yaml.sample has those that there are"
        )
        return Finding(check=name, verdict=Verdict.WARNING, details=details)
    return Finding(check=name, verdict=Verdict.SUCCESS, details=f"{path} fits this release")


def _configuration_findings(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    objection = login_objection(conf)
    if objection is not None:
        details = f"[keystone_authtoken] cannot be used: {objection}"
        yield Finding(check="Configuration", verdict=Verdict.FAILURE, details=details)
    warnings = list(_configuration_warnings(conf))
    for warning in warnings:
        yield Finding(check="Configuration", verdict=Verdict.WARNING, details=warning)
    if not warnings and objection is None:
        yield Finding(check="Configuration", verdict=Verdict.SUCCESS, details="No objections")


def _configuration_warnings(conf: cfg.ConfigOpts) -> Iterator[str]:
    if conf.auth_strategy == "noauth":
        yield "auth_strategy is noauth: every caller is believed. Use keystone in a cloud"
    if conf.storage.backend == "sqlalchemy":
        yield "[storage] backend = sqlalchemy is an old word: write sql"
    elastic = conf.storage.backend == "elasticsearch"
    if elastic and conf.elasticsearch.http_auth:
        yield "[elasticsearch] http_auth goes away: use username and password"
    if elastic and not conf.elasticsearch.verify_certs:
        yield "[elasticsearch] verify_certs is off: anybody can pose as the cluster"
    yield from outdated_options(conf, options.own_opts())


def _as_text(findings: Sequence[Finding]) -> str:
    return "\n".join(
        f"{finding.check}: {finding.verdict.name.capitalize()}\n  {finding.details}"
        for finding in findings
    )


def _as_json(findings: Sequence[Finding]) -> str:
    rows = [asdict(finding) | {"verdict": finding.verdict.name.lower()} for finding in findings]
    return json.dumps({"result": int(max(f.verdict for f in findings)), "checks": rows})


if __name__ == "__main__":
    sys.exit(main())
