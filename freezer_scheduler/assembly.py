"""Settings -> scheduler: the only module that names concrete classes."""

import os
import random
import re
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

from freezer_client.api import Freezer, connect
from freezer_model.clock import utc_now
from freezer_model.job import Job
from freezer_scheduler import supervision
from freezer_scheduler.agent_process import AgentProcess, find_agent, with_trust
from freezer_scheduler.channels import CommandChannel, MailChannel, WebhookChannel
from freezer_scheduler.conf.settings import Settings
from freezer_scheduler.job_boards.api import ApiBoard
from freezer_scheduler.job_boards.base import JobBoard
from freezer_scheduler.job_boards.central import CentralBoard
from freezer_scheduler.job_boards.copies import SavedCopies
from freezer_scheduler.job_boards.directory import DirectoryBoard
from freezer_scheduler.journal import Journal
from freezer_scheduler.node_policy import NodePolicy
from freezer_scheduler.notices import Channel, Notifier, Occasion, Unwatched
from freezer_scheduler.output_logs import OutputLogs
from freezer_scheduler.ownership import Alone, Ownership, Shared
from freezer_scheduler.pace import Pace
from freezer_scheduler.poller import Poller, Rules
from freezer_scheduler.reports import Reports
from freezer_scheduler.run_records import RunRecords, lease_seconds
from freezer_scheduler.runner import Runner
from freezer_scheduler.service import Scheduler
from freezer_scheduler.timetable import Timetable


def client_from(settings: Settings) -> Freezer:
    """The API by the settings' credentials. Raises CredentialsMissing; asks nothing."""
    return connect(settings.credentials)


def scheduler_from(settings: Settings) -> Scheduler:
    """The whole scheduler. Nothing is asked and nothing is written before it runs.

    Raises AgentNotFound: a scheduler without an agent would only make its jobs fail.
    """
    find_agent(settings.agent_program)
    board, close = _board(settings)
    journal = Journal(_journal_path(settings))
    reports = Reports(board, journal)
    environment = _agent_environment(settings)
    output_logs = OutputLogs(
        settings.state_dir / f"{_instance_name(settings)}.output",
        clock=utc_now,
        secrets=settings.secrets,
    )

    def new_agent(job: Job) -> AgentProcess:
        variables = environment
        if isinstance(board, CentralBoard):
            board.require_trust(job)
            variables = with_trust(environment, job.trust_id)
        program = find_agent(settings.agent_program)
        return AgentProcess(
            program,
            variables,
            output=output_logs.of(job.job_id),
            # A reload brings other rules: they hold from the next try on.
            refusal=poller.rules.policy.refusal,
        )

    notifier = _notifier(settings, journal)

    def close_all() -> None:
        if notifier is not None:
            notifier.close()
        close()

    poller = Poller(
        board=board,
        reports=reports,
        journal=journal,
        runner=Runner(
            board=board,
            reports=reports,
            new_agent=new_agent,
            slots=settings.concurrent_jobs,
            clock=utc_now,
            session_required=settings.session_required,
        ),
        ownership=_ownership(settings),
        watch=notifier or Unwatched(),
        records=RunRecords(
            board=board,
            new_id=lambda: uuid.uuid4().hex,
            scheduler=socket.gethostname(),
            seconds=lease_seconds(settings.interval_seconds),
            alone_by_lock=bool(settings.coordination_url),
        ),
        clock=utc_now,
        rules=rules_from(settings),
        timetable_of=lambda run: Timetable(run, clock=utc_now),
    )
    return Scheduler(
        poller=poller,
        journal=journal,
        reports=reports,
        interval_seconds=settings.interval_seconds,
        close=close_all,
        # Nobody else reads the job directory: there is nothing to spread.
        pace=Pace(jitter=None if settings.no_api else random.random),
        supervision=supervision.of_process(),
    )


def rules_from(settings: Settings) -> Rules:
    """What the node allows."""
    return Rules(
        capabilities=settings.capabilities,
        disable_exec=settings.disable_exec,
        central=settings.central,
        policy=NodePolicy(
            allowed_commands=settings.allowed_commands, allowed_paths=settings.allowed_paths
        ),
    )


def _board(settings: Settings) -> tuple[JobBoard, Callable[[], None]]:
    if settings.no_api:
        return DirectoryBoard(settings.jobs_dir), lambda: None
    freezer = client_from(settings)
    capabilities = {name: list(words) for name, words in settings.capabilities.items()}

    def board_over(line: Freezer) -> ApiBoard:
        return ApiBoard(
            freezer=line,
            client_id=settings.client_id,
            hostname=socket.gethostname(),
            registration={**capabilities, "is_central": settings.central},
            copies=SavedCopies(settings.jobs_dir),
            all_projects=settings.central,
        )

    if not settings.central:
        return board_over(freezer), freezer.close
    credentials = settings.credentials
    central = CentralBoard(
        own=board_over(freezer),
        freezer=freezer,
        by_trust=lambda trust_id: connect(credentials.with_trust(trust_id)),
        in_project=lambda project_id: connect(credentials, project_id=project_id),
        board_over=board_over,
    )
    return central, central.close


def _notifier(settings: Settings, journal: Journal) -> Notifier | None:
    choice = settings.notices
    channels: list[Channel] = []
    if choice.command:
        channels.append(CommandChannel(argv=choice.command))
    if choice.webhook:
        verify = settings.service_auth.get("os_insecure") != "True"
        channels.append(WebhookChannel(url=choice.webhook, verify=verify))
    if choice.mail_to:
        channels.append(
            MailChannel(
                recipients=choice.mail_to,
                sender=choice.mail_from,
                host=choice.smtp_host,
                port=choice.smtp_port,
                security=choice.smtp_security,
                username=choice.smtp_username,
                password_file=choice.smtp_password_file,
            )
        )
    if not channels:
        return None
    return Notifier(
        journal=journal,
        channels=channels,
        occasions=frozenset(Occasion(word) for word in choice.occasions),
        absence=choice.absence,
        host=socket.gethostname(),
        clock=utc_now,
    )


def _ownership(settings: Settings) -> Ownership:
    if not settings.coordination_url:
        return Alone()
    return Shared(
        settings.coordination_url,
        group=settings.client_id,
        member=f"{socket.gethostname()}-{settings.instance}",
    )


def _journal_path(settings: Settings) -> Path:
    return settings.state_dir / f"{_instance_name(settings)}.journal"


def _instance_name(settings: Settings) -> str:
    """What the files of this scheduler in the state directory begin with."""
    name = "no-api" if settings.no_api else "scheduler"
    client = re.sub(r"[^\w.-]", "_", settings.client_id)
    return f"{name}{'-' if client else ''}{client}"


def _agent_environment(settings: Settings) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    for name in supervision.VARIABLES:
        own.pop(name, None)
    return own | dict(settings.agent_environment)
