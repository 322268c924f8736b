"""Actions on several storages at once, made of the actions on one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from freezer_agent.actions.base import Action, Report, Table
from freezer_agent.errors import AgentError, StorageError
from freezer_agent.requests import Requirement
from freezer_agent.storages.mirrored import Mirrored


class BackupToSeveral:
    """One backup that goes to several storages as it is made, and a report on each copy."""

    def __init__(
        self,
        *,
        action: Action,
        mirrored: Mirrored,
        places: Mapping[str, str],
        requirement: Requirement,
    ) -> None:
        self._action = action
        self._mirrored = mirrored
        self._places = places
        self._requirement = requirement

    def run(self) -> Report:
        """Make it. Fails if no storage has a complete copy; else the report tells which have."""
        report = self._action.run()
        failed = [
            f"storage {member.name}: {member.failure}"
            for member in self._mirrored.members
            if member.failure is not None
        ]
        if failed:
            have = ", ".join(member.name for member in self._mirrored.live())
            failed[-1] += f" (a complete copy is in {have})"
        document = {**report.document, "storages": [self._told(one) for one in self._copies()]}
        return _judged(replace(report, document=document), failed, self._requirement)

    def _copies(self) -> list[tuple[str, StorageError | None]]:
        return [(member.name, member.failure) for member in self._mirrored.members]

    def _told(self, copy: tuple[str, StorageError | None]) -> dict[str, Any]:
        name, failure = copy
        return {
            "storage": name,
            "place": self._places[name],
            "complete": failure is None,
            "error": "" if failure is None else str(failure),
        }


class EachStorage:
    """The same action on every storage, one after the other; one that fails stops no other."""

    def __init__(self, actions: Mapping[str, Action], requirement: Requirement) -> None:
        self._actions = actions
        self._requirement = requirement

    def run(self) -> Report:
        """The reports of all, put together. Fails if none of the actions could be done."""
        reports: dict[str, Report] = {}
        errors: dict[str, AgentError] = {}
        for name, action in self._actions.items():
            try:
                reports[name] = action.run()
            except AgentError as error:
                errors[name] = error
        if not reports:
            raise AgentError("; ".join(_failed(errors)))
        return _judged(_joined(reports), _failed(errors), self._requirement)


class NearestStorage:
    """One action on the first of several storages where it can be done: what it tells is the same."""

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self._actions = actions

    def run(self) -> Report:
        """The report of the first that could, with a warning for each before it."""
        errors: dict[str, AgentError] = {}
        for name, action in self._actions.items():
            try:
                report = action.run()
            except AgentError as error:
                errors[name] = error
            else:
                document = {**report.document, "storage": name}
                told = replace(report, document=document)
                return _judged(told, _failed(errors), Requirement.ANY)
        raise AgentError("; ".join(_failed(errors)))


def _failed(errors: Mapping[str, AgentError]) -> list[str]:
    return [f"storage {name}: {error}" for name, error in errors.items()]


def _joined(reports: Mapping[str, Report]) -> Report:
    documents = [{"storage": name, **report.document} for name, report in reports.items()]
    tables = [(name, report.table) for name, report in reports.items() if report.table]
    return Report(
        document={"action": documents[0]["action"], "storages": documents},
        table=_joined_table(tables) if tables else None,
        warnings=[
            f"storage {name}: {warning}"
            for name, report in reports.items()
            for warning in report.warnings
        ],
        failures=[
            f"storage {name}: {failure}"
            for name, report in reports.items()
            for failure in report.failures
        ],
    )


def _joined_table(tables: Sequence[tuple[str, Table]]) -> Table:
    return Table(
        columns=("Storage", *tables[0][1].columns),
        rows=[(name, *row) for name, table in tables for row in table.rows],
    )


def _judged(report: Report, failed: Sequence[str], requirement: Requirement) -> Report:
    """The report in which storages that failed are failures, or warnings where any one will do."""
    if requirement is Requirement.ALL:
        return replace(report, failures=[*report.failures, *failed])
    document = dict(report.document)
    document["warnings"] = [*document.get("warnings", ()), *failed]
    return replace(report, document=document, warnings=[*report.warnings, *failed])
