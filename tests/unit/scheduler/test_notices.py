"""Who is told what, once; and every way of telling, with real servers at its end."""

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from freezer_model.job import Job, JobResult
from freezer_scheduler.channels import CommandChannel, MailChannel, WebhookChannel
from freezer_scheduler.errors import NoticeFailed
from freezer_scheduler.journal import Journal
from freezer_scheduler.notices import Notice, Notifier, Occasion
from tests.services.launching import free_ports

SUCCESS, FAIL, ABORTED = JobResult.SUCCESS, JobResult.FAIL, JobResult.ABORTED
DAY = timedelta(days=1)

NOTICE = Notice(
    occasion=Occasion.FAILURE,
    host="host",
    client_id="node",
    job_id="j",
    description="documents\nBcc: everybody",
    result="fail",
    error="the agent ended with exit code 1: no such container",
    exit_code=1,
    at="2026-11-23T12:00:00+00:00",
    last_success_at="",
)


class Listener:
    """A channel that remembers, and fails as often as it is told."""

    def __init__(self) -> None:
        self.heard: list[Notice] = []
        self.fails = 0

    def send(self, notice: Notice) -> None:
        if self.fails:
            self.fails -= 1
            raise NoticeFailed("not now")
        self.heard.append(notice)


class Place:
    def __init__(self, path: Path) -> None:
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self.journal = Journal(path)
        self.journal.open()
        self.listener = Listener()

    def notifier(self, *occasions: Occasion) -> Notifier:
        return Notifier(
            journal=self.journal,
            channels=[self.listener],
            occasions=frozenset(occasions or Occasion),
            absence=DAY,
            host="host",
            clock=lambda: self.now,
        )

    def told(self, *results: JobResult) -> list[str]:
        """The occasions that follow from these results of one job."""
        notifier = self.notifier()
        for result in results:
            notifier.run_ended(job(), result, error="why", exit_code=3)
        notifier.close()
        return [str(notice.occasion) for notice in self.listener.heard]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path / "journal")
    yield one
    one.journal.close()


def job(**schedule: str) -> Job:
    return Job.from_document(
        {"job_id": "j", "client_id": "node", "description": "documents", "job_schedule": schedule}
    )


HOURLY = job(schedule_interval="1 hours")


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ([SUCCESS, SUCCESS], []),
        ([FAIL], ["failure"]),
        ([FAIL, FAIL], ["failure", "failure"]),
        ([FAIL, SUCCESS, SUCCESS], ["failure", "recovery"]),
        ([ABORTED], []),
        ([FAIL, ABORTED, SUCCESS], ["failure", "recovery"]),
    ],
)
def test_failures_and_recoveries(place: Place, results: list[JobResult], told: list[str]) -> None:
    assert place.told(*results) == told


def test_a_restart_forgets_no_failure(place: Place) -> None:
    place.told(FAIL)
    assert place.told(SUCCESS) == ["failure", "recovery"]


def test_only_what_is_asked_for(place: Place) -> None:
    notifier = place.notifier(Occasion.RECOVERY)
    notifier.run_ended(job(), FAIL)
    notifier.run_ended(job(), SUCCESS)
    notifier.close()
    assert [notice.occasion for notice in place.listener.heard] == [Occasion.RECOVERY]


def test_a_job_without_a_success_is_missed_once(place: Place) -> None:
    notifier = place.notifier()
    for _ in range(3):
        notifier.look([HOURLY])
        place.now += timedelta(hours=20)
    notifier.look([HOURLY])
    notifier.run_ended(HOURLY, SUCCESS)
    place.now += timedelta(hours=23)
    notifier.look([HOURLY])
    place.now += timedelta(hours=2)
    notifier.look([HOURLY])
    notifier.close()
    heard = [(str(notice.occasion), notice.last_success_at) for notice in place.listener.heard]
    assert heard == [
        ("absence", ""),
        ("recovery", ""),
        ("absence", "2026-11-26T00:00:00+00:00"),
    ]


def test_failures_do_not_put_an_absence_off(place: Place) -> None:
    notifier = place.notifier(Occasion.ABSENCE)
    notifier.run_ended(HOURLY, SUCCESS)
    for _ in range(5):
        place.now += timedelta(hours=6)
        notifier.run_ended(HOURLY, FAIL)
        notifier.look([HOURLY])
    notifier.close()
    assert len(place.listener.heard) == 1


def test_a_job_that_runs_once_is_never_missed(place: Place) -> None:
    notifier = place.notifier()
    notifier.look([job()])
    place.now += 2 * DAY
    notifier.look([job(), job(schedule_date="2026-11-23T00:00:00")])
    notifier.close()
    assert place.listener.heard == []


def test_it_is_tried_again(place: Place) -> None:
    place.listener.fails = 2
    assert place.told(FAIL) == ["failure"]


def test_what_reaches_nobody_is_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.listener.fails = 9
    assert place.told(FAIL) == []
    assert "Nobody was told: Backup job 'documents' failed on host" in caplog.text


# -- ways ----------------------------------------------------------------------------------------


def test_a_command_gets_the_notice(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    CommandChannel(argv=(sys.executable, "-c", script, str(told))).send(NOTICE)
    assert json.loads(told.read_text()) == NOTICE.to_document()


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("/no/such/program",), "cannot be run"),
        ((sys.executable, "-c", "import sys; sys.exit('no network')"), "status 1: no network"),
    ],
)
def test_a_command_that_fails(argv: tuple[str, ...], why: str) -> None:
    with pytest.raises(NoticeFailed, match=why):
        CommandChannel(argv=argv).send(NOTICE)


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A web server: its URL, and the bodies that it was sent; /no refuses."""
    bodies: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(json.loads(body))
            self.send_response(500 if self.path == "/no" else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()
        thread.join()


def test_a_webhook_gets_the_notice(hook: tuple[str, list[Any]]) -> None:
    url, bodies = hook
    WebhookChannel(url=f"{url}/yes?token=secret").send(NOTICE)
    assert bodies == [{"text": NOTICE.headline, **NOTICE.to_document()}]


def test_a_webhook_that_refuses_or_is_away(hook: tuple[str, list[Any]]) -> None:
    with pytest.raises(NoticeFailed, match="answered 500"):
        WebhookChannel(url=f"{hook[0]}/no").send(NOTICE)
    with pytest.raises(NoticeFailed, match="not reached") as caught:
        WebhookChannel(url="http://127.0.0.1:1/secret").send(NOTICE)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(WebhookChannel(url="http://127.0.0.1:1/secret"))


class Mailbox:
    """What a mail server was handed."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the library's name
        del server, session
        self.mails.append(envelope)
        return "250 taken"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _way: str, data: Any
    ) -> Any:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        # "handled" would be that the refusal has been sent already.
        return AuthResult(success=data.password == b"geheim", handled=False)


Serve = Callable[..., tuple[int, Mailbox]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Controller] = []

    def start(**options: Any) -> tuple[int, Mailbox]:
        mailbox = Mailbox()
        controller = Controller(
            mailbox,
            "127.0.0.1",
            free_ports(1)[0],
            authenticator=mailbox.authenticate,
            # Else it asks the name service, which may take longer than it may take to start.
            server_hostname="localhost",
            ready_timeout=60,
            **options,
        )
        controller.start()
        started.append(controller)
        return controller.port, mailbox

    yield start
    for controller in started:
        controller.stop()


def channel(port: int, **more: Any) -> MailChannel:
    return MailChannel(
        recipients=["a@example.org", "b@example.org"],
        sender="freezer@example.org",
        host="127.0.0.1",
        port=port,
        **more,
    )


def test_an_e_mail_reaches_its_server(serve: Serve) -> None:
    port, mailbox = serve()
    channel(port).send(NOTICE)
    (mail,) = mailbox.mails
    assert mail.rcpt_tos == ["a@example.org", "b@example.org"]
    message = message_from_bytes(mail.content)
    assert message["Subject"] == "Backup job 'documents\\nBcc: everybody' failed on host"
    assert message["Bcc"] is None
    text = message.get_payload()
    assert "Exit code: 1" in text
    assert "no such container" in text


def test_a_password_comes_from_its_file(serve: Serve, tmp_path: Path) -> None:
    port, mailbox = serve(auth_require_tls=False)
    secret = tmp_path / "password"
    secret.write_text("geheim\nmore\n")
    channel(port, username="freezer", password_file=secret).send(NOTICE)
    assert mailbox.logins == [(b"freezer", b"geheim")]
    secret.write_text("falsch\n")
    with pytest.raises(NoticeFailed, match="Authentication credentials invalid") as caught:
        channel(port, username="freezer", password_file=secret).send(NOTICE)
    assert "falsch" not in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_refused(serve: Serve, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run(
        [*request.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port, mailbox = serve(tls_context=context)
    with pytest.raises(NoticeFailed, match="certificate"):
        channel(port, security="starttls").send(NOTICE)
    assert mailbox.mails == []


def test_a_mail_server_that_is_away() -> None:
    with pytest.raises(NoticeFailed, match=r"127\.0\.0\.1:1 did not take it"):
        channel(1).send(NOTICE)
