"""Restore beside the target, and put the tree in its place when all of it is there."""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from freezer_agent.actions.base import Action, Report
from freezer_agent.actions.restore import check_target
from freezer_agent.errors import AgentError

log = logging.getLogger(__name__)

_MOST_NAME_CHARACTERS = 60


class RestoreAside:
    """A restore that leaves its target as it was, or has restored all of it.

    Between the two renames that exchange a full target nothing is in its place; a run that dies there
    leaves both trees beside it, and one that dies before leaves the new one.
    """

    def __init__(
        self,
        *,
        target: Path,
        overwrite: bool,
        restore_into: Callable[[Path], Action],
        suffix: str,
    ) -> None:
        self._target = Path(os.path.realpath(target))
        self._overwrite = overwrite
        self._restore_into = restore_into
        self._suffix = suffix

    def run(self) -> Report:
        """Restore beside it, then rename. After an error nothing is left there."""
        check_target(self._target, overwrite=self._overwrite)
        if self._target.is_mount():
            raise AgentError(
                f"{str(self._target)!r} is a mount point, which nothing can take the place of: "
                "leave --restore-aside out, or restore into a directory in it",
            )
        aside = self._beside("restore")
        try:
            report = self._restore_into(aside).run()
            warnings = self._put_in_place(aside)
        except BaseException as error:
            shutil.rmtree(aside, ignore_errors=True)
            error.add_note(f"That directory was removed: {str(self._target)!r} is as it was.")
            raise
        told = [*report.warnings, *warnings]
        document = {**report.document, "restore_abs_path": str(self._target), "warnings": told}
        return replace(report, document=document, warnings=told)

    def _beside(self, what: str) -> Path:
        name = self._target.name[:_MOST_NAME_CHARACTERS]
        return self._target.with_name(f".{name}.freezer-{what}-{self._suffix}")

    def _put_in_place(self, aside: Path) -> list[str]:
        """Exchange the trees and remove the former one; a warning if it could not be removed."""
        try:
            if not self._target.exists() or not any(self._target.iterdir()):
                aside.rename(self._target)
                return []
            former = self._beside("former")
            self._target.rename(former)
            try:
                aside.rename(self._target)
            except OSError:
                former.rename(self._target)
                raise
        except OSError as error:
            raise AgentError(
                f"what was restored cannot be put in the place of {str(self._target)!r}: "
                f"{error.strerror}",
            ) from error
        return _removed(former)


def _removed(former: Path) -> list[str]:
    try:
        shutil.rmtree(former)
    except OSError as error:
        return [f"what the target held before is left in {str(former)!r}: {error.strerror}"]
    log.info("removed what the target held before")
    return []
