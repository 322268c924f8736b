"""The real application over the store in memory, driven without a socket."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from falcon import testing

from freezer_api import conf as options
from freezer_api.app import App, Limits, make_app
from freezer_api.identity.context import Context
from freezer_api.identity.middleware import claimed_identity
from freezer_api.identity.trusts import Delegation
from freezer_api.policies.enforcer import Enforcer
from freezer_api.services.delegations import DelegationRule
from freezer_api.services.sightings import NoSightings
from freezer_api.store.base import DocumentStore
from freezer_api.store.memory import MemoryStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW_EPOCH = 1767323045


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def forward(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class RecordedTrusts:
    """Keeps trusts as Keystone does: one that is dead is not given again."""

    alive: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    made: int = 0

    def delegate(self, context: Context, known: Sequence[Delegation]) -> Delegation:
        for delegation in known:
            if delegation.trust_id in self.alive:
                return delegation
        self.made += 1
        trust_id = f"trust{self.made}-{context.user_id}-{context.project_id}"
        self.alive.append(trust_id)
        return Delegation(trust_id=trust_id, trustor_user_id=context.user_id)

    def withdraw(self, context: Context, delegation: Delegation) -> None:
        assert context.user_id
        if delegation.trust_id in self.alive:
            self.alive.remove(delegation.trust_id)
            self.withdrawn.append(delegation.trust_id)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def title(self) -> str:
        return str(self.json["title"])

    @property
    def why(self) -> str:
        return str(self.json["description"])


@dataclass(frozen=True)
class Caller:
    """Somebody who sends requests about one project."""

    client: testing.TestClient
    project: str = "p"
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        """`body` is sent as JSON, or as it is if it is bytes or text."""
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body)
        headers = {**self.headers, **more.pop("headers", {})}
        result = self.client.simulate_request(
            method, f"/v2/{self.project}{path}", body=body, headers=headers, **more
        )
        return Reply(result.status_code, dict(result.headers), result.text)

    def get(self, path: str, body: Any = None, **more: Any) -> Reply:
        return self.send("GET", path, body, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Reply:
        return self.send("POST", path, body, **more)

    def patch(self, path: str, body: Any = None, **more: Any) -> Reply:
        return self.send("PATCH", path, body, **more)

    def put(self, path: str, body: Any = None) -> Reply:
        return self.send("PUT", path, body)

    def delete(self, path: str) -> Reply:
        return self.send("DELETE", path)

    def made(self, path: str, body: Any) -> str:
        """The id of the document that this POST makes."""
        reply = self.post(path, body)
        assert reply.status == 201, reply.text
        (document_id,) = (value for key, value in reply.json.items() if key != "version")
        return str(document_id)

    def client_registered(self, client_id: str = "node", **fields: Any) -> str:
        return self.made("/clients", {"client_id": client_id, **fields})

    def job_made(self, **fields: Any) -> str:
        return self.made("/jobs", job_body(**fields))


def job_body(**fields: Any) -> dict[str, Any]:
    action = {"freezer_action": {"action": "backup", "mode": "fs", "backup_name": "etc"}}
    return {"client_id": "node", "job_actions": [action], **fields}


@dataclass
class World:
    app: App
    store: DocumentStore
    clock: Clock
    trusts: RecordedTrusts

    def caller(self, project: str = "p", roles: str = "member", user: str = "u") -> Caller:
        headers = {"X-Project-Id": project, "X-User-Id": user, "X-Roles": roles}
        return Caller(testing.TestClient(self.app), project, headers)


def make_world(folder: Path, **changes: Any) -> World:
    numbers = itertools.count(1)
    clock, trusts = Clock(), RecordedTrusts()
    parts: dict[str, Any] = {
        "store": MemoryStore(),
        "read_identity": claimed_identity,
        "trusts": trusts,
        "delegation_rule": DelegationRule(for_central_clients=True, for_all_clients=False),
        "clock": clock,
        "new_id": lambda: f"{next(numbers):032x}",
        "sleep": lambda _seconds: None,
        "limits": Limits(),
        "disabled_by": folder / "healthcheck_disable",
        "seconds": clock.seconds,
        "sightings": NoSightings(),
    }
    parts |= changes
    if "enforcer" not in parts:
        conf = options.load([], prog="freezer-api", config_files=[])
        parts["enforcer"] = Enforcer(conf, clock.seconds)
    return World(make_app(**parts), parts["store"], clock, trusts)
