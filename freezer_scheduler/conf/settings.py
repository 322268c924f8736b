"""What all options come to: one value that the rest of the scheduler is built from."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from freezer_model.errors import FreezerError

if TYPE_CHECKING:
    from freezer_client.credentials import Credentials


class SettingsInvalid(FreezerError):
    """Options cannot be used. `reasons` has one sentence per thing that is wrong."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChoice:
    """Where the log goes and how its lines look. Empty means the default of the program."""

    level: int
    file: str = ""
    directory: str = ""
    configuration: str = ""
    line_format: str = ""
    date_format: str = ""
    with_stderr: bool = False
    watch_file: bool = False
    syslog_facility: str = ""
    """Empty: no syslog."""
    syslog_with_name: bool = True
    use_journal: bool = False
    use_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeChoice:
    """Whom to tell of what. Empty ways are not taken; `absence` None is never."""

    occasions: frozenset[str] = frozenset()
    absence: timedelta | None = None
    command: tuple[str, ...] = ()
    webhook: str = field(default="", repr=False)
    mail_to: tuple[str, ...] = ()
    mail_from: str = ""
    smtp_host: str = ""
    smtp_port: int = 25
    smtp_security: str = "none"
    smtp_username: str = ""
    smtp_password_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that somebody may choose about the scheduler and its commands.

    `client_id` is empty where the one of project id and host name is meant. `capabilities` has
    the four keys of a client's registration. `agent_environment` is what the agent of a job gets
    besides the scheduler's own environment, without its OS_* variables. `remarks` tell what an
    operator should know about options without effect. Paths are absolute.
    """

    client_id: str
    no_api: bool
    coordination_url: str = field(repr=False)
    """Empty: there is no other scheduler with our client id."""
    jobs_dir: Path
    state_dir: Path
    interval_seconds: int
    no_daemon: bool
    disable_exec: bool
    concurrent_jobs: int
    capabilities: Mapping[str, tuple[str, ...]]
    agent_program: str
    agent_environment: Mapping[str, str] = field(repr=False)
    service_auth: Mapping[str, str] = field(repr=False)
    log: LogChoice
    notices: NoticeChoice = NoticeChoice()
    job: str = ""
    session: str = ""
    client: str = ""
    backup: str = ""
    file: str = ""
    active_only: bool = False
    all: bool = False
    long: bool = False
    as_json: bool = False
    status: str = ""
    result: str = ""
    search: str = ""
    sort: str = ""
    reverse: bool = False
    limit: int | None = None
    offset: int = 0
    watch: float | None = None
    debug: bool = False
    remarks: tuple[str, ...] = ()
    session_required: bool = False
    allowed_commands: tuple[str, ...] | None = None
    """The commands that exec actions may run; None: every one. So with the paths."""
    allowed_paths: tuple[str, ...] | None = None
    central: bool = False
    """Whether it runs the jobs of all projects, each by the trust of its user."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Texts that must never be shown."""

    @property
    def instance(self) -> str:
        """What tells this scheduler from others of its user: the client id, or no text.

        Those that share a client id on one host differ by their state directory.
        """
        if not self.coordination_url:
            return self.client_id
        place = hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:8]
        return f"{self.client_id}-{place}"

    @property
    def credentials(self) -> "Credentials":
        """Who we are for the API. Raises CredentialsMissing, which names all that is not set."""
        # The client is not loaded for commands that do not ask the API.
        from freezer_client.credentials import Credentials  # noqa: PLC0415

        return Credentials.from_mapping(self.service_auth)
