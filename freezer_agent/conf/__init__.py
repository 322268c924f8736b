"""The options of the agent: one module per subject, gathered here for parser and samples."""

from dataclasses import dataclass

from oslo_config import cfg

from freezer_agent.conf import (
    databases,
    encryption,
    files,
    log,
    openstack,
    retention,
    run,
    snapshot,
    storage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionGroup:
    """Options that --help shows under one title."""

    title: str
    options: tuple[cfg.Opt, ...]


GROUPS = (
    OptionGroup(title=run.TITLE, options=run.OPTIONS),
    OptionGroup(title=files.TITLE, options=files.OPTIONS),
    OptionGroup(title=storage.TITLE, options=storage.OPTIONS),
    OptionGroup(title=retention.TITLE, options=retention.OPTIONS),
    OptionGroup(title=files.RESTORE_TITLE, options=files.RESTORE_OPTIONS),
    OptionGroup(title=files.LOOK_TITLE, options=files.LOOK_OPTIONS),
    OptionGroup(title=retention.REMOVAL_TITLE, options=retention.REMOVAL_OPTIONS),
    OptionGroup(title=encryption.TITLE, options=encryption.OPTIONS),
    OptionGroup(title=encryption.REKEY_TITLE, options=encryption.REKEY_OPTIONS),
    OptionGroup(title=run.REPORT_TITLE, options=run.REPORT_OPTIONS),
    OptionGroup(title=log.TITLE, options=log.OPTIONS + log.OSLO_LOG_OPTIONS),
    OptionGroup(title=storage.REMOTE_TITLE, options=storage.REMOTE_OPTIONS),
    OptionGroup(title=databases.TITLE, options=databases.OPTIONS),
    OptionGroup(title=snapshot.TITLE, options=snapshot.OPTIONS),
    OptionGroup(title=openstack.TITLE, options=openstack.OPTIONS),
)


def all_options() -> list[cfg.Opt]:
    """Every option, in the order of --help."""
    return [option for group in GROUPS for option in group.options]


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """What oslo-config-generator writes into the sample.

    Without the options of oslo.log, which its own namespace (oslo.log) contributes: the
    documented command names both.
    """
    foreign = {option.dest for option in log.OSLO_LOG_OPTIONS}
    return [(None, [option for option in all_options() if option.dest not in foreign])]
