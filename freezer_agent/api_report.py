"""Tell the API of a backup that was made without a scheduler (--report)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self

from freezer_agent.actions.base import Report
from freezer_agent.errors import RequestInvalid
from freezer_client import Credentials, Freezer, connect
from freezer_client.errors import ClientError, CredentialsMissing


class ApiReport:
    """Posts the document of a backup's report as its record."""

    def __init__(
        self, credentials: Credentials, connect_to: Callable[[Credentials], Freezer]
    ) -> None:
        self._credentials = credentials
        self._connect = connect_to

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """With the credentials of the OS_* variables. RequestInvalid if they are not enough.

        That is told before the backup is made, not after it.
        """
        values = {name: value for name, value in environment.items() if name.startswith("OS_")}
        try:
            return cls(Credentials.from_mapping(values), connect)
        except CredentialsMissing as error:
            raise RequestInvalid([f"--report cannot reach the API: {error}"]) from error

    def post(self, report: Report) -> Report:
        """Post it; the same report with its id, or with a warning if the API did not take it."""
        api = self._connect(self._credentials)
        try:
            backup_id = api.backups.create(report.document)
        except ClientError as error:
            warning = f"the backup is complete, but the API has no record of it: {error}"
            document = dict(report.document)
            document["warnings"] = [*document.get("warnings", ()), warning]
            return replace(report, document=document, warnings=[*report.warnings, warning])
        finally:
            api.close()
        return replace(report, document={**report.document, "backup_id": backup_id})
