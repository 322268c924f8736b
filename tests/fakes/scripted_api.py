"""A line to an API that answers from a script, and the client on it, which does not wait."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from freezer_client.api import Freezer
from freezer_client.errors import ApiUnavailable
from freezer_client.session import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it was sent."""

    method: str
    path: str
    body: Any
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ScriptedSession:
    """An ApiSession that gives its answers in order; an answer that is an error is raised."""

    answers: list[Reply | Exception] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def project_id(self) -> str:
        return "p"

    def close(self) -> None:
        """There is nothing to give up."""

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        asked = Asked(
            method=method,
            path=path,
            body=body,
            query=dict(query or {}),
            headers=dict(headers or {}),
        )
        self.asked.append(asked)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class ScriptedApi:
    """The client with everything around it under control: answers, pauses, ids, time."""

    def __init__(self) -> None:
        self.session = ScriptedSession()
        self.pauses: list[float] = []
        new_id = map("own{}".format, range(100)).__next__
        self.freezer = Freezer(
            self.session,
            sleep=self.pauses.append,
            jitter=lambda: 0.0,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            new_id=new_id,
        )

    def answers(self, *answers: Reply | Exception) -> Self:
        """These come next."""
        self.session.answers.extend(answers)
        return self

    @property
    def asked(self) -> list[Asked]:
        """What was sent so far."""
        return self.session.asked


def reply(status: int = 200, document: Any = None, **headers: str) -> Reply:
    """An answer with this JSON; header names with underscores for dashes."""
    body = b"" if document is None else json.dumps(document).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=body)


def lost(*, may_pass: bool = True) -> ApiUnavailable:
    """No answer came."""
    return ApiUnavailable("test", "the line was cut", may_pass=may_pass)
