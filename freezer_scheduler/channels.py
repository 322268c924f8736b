"""The ways in which a notice reaches somebody: a command, a webhook, an e-mail."""

import json
import smtplib
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from freezer_scheduler.errors import NoticeFailed
from freezer_scheduler.notices import Notice

_SECONDS = 30
_TAIL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandChannel:
    """Runs a program, which gets the notice as JSON on its standard input."""

    argv: Sequence[str]

    def send(self, notice: Notice) -> None:
        """Run it to its end, half a minute at most."""
        try:
            done = subprocess.run(
                self.argv,
                input=json.dumps(notice.to_document()).encode(),
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoticeFailed(f"the command {self.argv[0]} cannot be run: {error}") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()[-_TAIL:]
            raise NoticeFailed(f"{self.argv[0]} ended with status {done.returncode}: {said}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChannel:
    """Posts the notice as JSON. The URL may hold a token and is never told."""

    url: str = field(repr=False)
    verify: bool = True

    def send(self, notice: Notice) -> None:
        """Send it; any status of 200 to 299 is an acknowledgement."""
        import requests  # noqa: PLC0415 - slow to import

        document = {"text": notice.headline, **notice.to_document()}
        try:
            answer = requests.post(
                self.url,
                json=document,
                timeout=_SECONDS,
                verify=self.verify,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise NoticeFailed(f"the webhook was not reached ({type(error).__name__})") from error
        if not answer.ok:
            raise NoticeFailed(f"the webhook answered {answer.status_code}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailChannel:
    """Sends an e-mail by SMTP. `security` is none, starttls or tls."""

    recipients: Sequence[str]
    sender: str
    host: str
    port: int
    security: str = "none"
    username: str = ""
    password_file: Path | None = None

    def send(self, notice: Notice) -> None:
        """Hand it to the mail server."""
        message = EmailMessage()
        message["Subject"] = " ".join(notice.headline.split())
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(_text(notice))
        try:
            with self._connected() as server:
                server.send_message(message)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            where = f"{self.host}:{self.port}"
            raise NoticeFailed(f"the mail server {where} did not take it: {error}") from error

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=_SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=_SECONDS)
        try:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.username:
                server.login(self.username, self._password())
        except BaseException:
            server.close()
            raise
        return server

    def _password(self) -> str:
        if self.password_file is None:
            return ""
        return self.password_file.read_text(encoding="utf-8").partition("\n")[0]


def _text(notice: Notice) -> str:
    facts = {
        "Job": f"{notice.description} ({notice.job_id})" if notice.description else notice.job_id,
        "Host": notice.host,
        "Client": notice.client_id,
        "Time": notice.at,
        "Result": notice.result,
        "Exit code": "" if notice.exit_code is None else str(notice.exit_code),
        "Error": notice.error,
        "Last success": notice.last_success_at,
    }
    lines = [f"{name}: {value}" for name, value in facts.items() if value]
    return "\n".join([notice.headline, "", *lines, ""])
