"""Every error of the scheduler. An API that is away is the client's ApiUnavailable.

FreezerError             (freezer_model)
  SchedulerError
    AgentNotFound        there is no freezer-agent program to run jobs with
    JobNotSupported      this node cannot run such a job; says what is missing
    AlreadyRunning       another scheduler of this client holds the lock; carries its pid
    DirectoryInUse       another scheduler runs the job files of the directory
    NotRunning           there is no scheduler to stop or reload
    BoardUnavailable     jobs cannot be read or reported for now; it may pass
    BoardRefused         a report that will be refused again as it is
      HeldElsewhere      another scheduler runs the job now
    CoordinationUnavailable  whose a job is cannot be told for now
    NoticeFailed         somebody could not be told of a job
    JournalUnusable      what must survive a restart cannot be kept
    DaemonFailed         the scheduler could not go to the background, or did not obey a signal
"""

from pathlib import Path

from freezer_model.errors import FreezerError


class SchedulerError(FreezerError):
    """The scheduler could not do what it was asked for."""


class AgentNotFound(SchedulerError):
    """The program that runs the actions is not at `program`, or not executable."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"The agent program {program} was not found or cannot be run. "
            "Install it with freezer[agent], or put it in the PATH of the scheduler."
        )
        self.program = program


class JobNotSupported(SchedulerError):
    """A job that this node, as it is set up, must not or cannot run."""


class AlreadyRunning(SchedulerError):
    """A scheduler for the same client runs already, as process `pid`."""

    def __init__(self, pid: int) -> None:
        super().__init__(
            f"A scheduler runs already (pid {pid}). "
            "Stop it first, or give this one another client id with -c."
        )
        self.pid = pid


class DirectoryInUse(SchedulerError):
    """Another scheduler runs the jobs of the directory without the API."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Another scheduler runs the jobs of {folder} already. "
            "Stop it first, or give this one another directory with -f."
        )


class NotRunning(SchedulerError):
    """No scheduler of this client runs."""

    def __init__(self) -> None:
        super().__init__("No scheduler is running. Check the client id (-c) and the user.")


class DaemonFailed(SchedulerError):
    """The process could not become a daemon, or a running one did not do as it was told."""


class BoardUnavailable(SchedulerError):
    """The API or the job directory cannot be asked for now. It may pass.

    `answered`: there was an answer, an error for this very call; others may work.
    `retry_after_seconds`: when it wants to be asked again, if it said so.
    """

    def __init__(
        self, text: str, *, answered: bool = False, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(text)
        self.answered = answered
        self.retry_after_seconds = retry_after_seconds


class BoardRefused(SchedulerError):
    """The board refuses this very call, and will again."""


class HeldElsewhere(BoardRefused):
    """Another run of the job goes on; this one must not."""


class CoordinationUnavailable(SchedulerError):
    """The service by which several schedulers agree cannot be used now."""


class NoticeFailed(SchedulerError):
    """A notice did not reach anybody by this way."""


class JournalUnusable(SchedulerError):
    """The file that keeps runs and unsent reports cannot be used."""
