"""The line of one machine to the API, which is the real application: it may be cut, slow or lossy."""

import io
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from freezer_client.errors import ApiUnavailable
from freezer_client.session import Reply
from tests.simulation.loop import Loop

PROJECT = "fleet"


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How lines are. Chances are between 0 and 1."""

    answer_lost: float = 0.003
    slow: float = 0.002
    slow_seconds: float = 40.0
    quick_seconds: float = 0.2


class Api:
    """The application, asked without a socket. `down`: no machine reaches it."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application
        self.down = False
        self.requests = 0
        self.answered: Callable[[str, str, Any, Reply], object] = lambda *_: None

    def answer(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """What the application says at this instant."""
        self.requests += 1
        payload = b"" if body is None else json.dumps(body).encode()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": f"/v2/{PROJECT}/{path}",
            "QUERY_STRING": urlencode(query or {}),
            "SERVER_NAME": "api",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SCRIPT_NAME": "",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(payload),
            "wsgi.errors": io.StringIO(),
            "CONTENT_LENGTH": str(len(payload)),
            "CONTENT_TYPE": "application/json",
            "HTTP_X_PROJECT_ID": PROJECT,
            "HTTP_X_USER_ID": "operator",
            "HTTP_X_ROLES": "admin",
        }
        for name, value in (headers or {}).items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        told: list[Any] = []
        chunks = self._application(environ, lambda *words: told.extend(words[:2]))
        text = b"".join(chunks)
        reply = Reply(status=int(told[0].split()[0]), headers=dict(told[1]), body=text)
        self.answered(method, path, body, reply)
        return reply

    def asked(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """The document of an answer that must be good."""
        reply = self.answer(method, path, body, query)
        assert reply.status < 300, (method, path, reply)
        return reply.document()


class Line:
    """An ApiSession. Requests and answers are lost while it, or the API, is `down`."""

    def __init__(self, *, api: Api, loop: Loop, chance: random.Random, weather: Weather) -> None:
        self._api = api
        self._loop = loop
        self._chance = chance
        self._weather = weather
        self.partitioned = False
        self.dead = False
        self.polled: Callable[[], object] = lambda: None

    def project_id(self) -> str:
        return PROJECT

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        if not self.dead:
            self._travel()
        self._check(method, path)
        reply = self._api.answer(method, path, body, query, headers)
        self._travel()
        self._check(method, path)
        if self._chance.random() < self._weather.answer_lost:
            raise ApiUnavailable(f"{method} {path}", "the answer was lost")
        if path == "jobs" and reply.status in {200, 304}:
            self.polled()
        return reply

    def close(self) -> None:
        """Nothing is open."""

    def _travel(self) -> None:
        slow = self._chance.random() < self._weather.slow
        longest = self._weather.slow_seconds if slow else self._weather.quick_seconds
        self._loop.sleep(longest * self._chance.random())

    def _check(self, method: str, path: str) -> None:
        if self.dead or self.partitioned or self._api.down:
            raise ApiUnavailable(f"{method} {path}", "no answer")
