"""The access table as values, and a small cloud in which each of its cells can be tried.

`table.yaml` says for every route who gets which status: in the project of the documents (own), in
that project with a token of another one (foreign), and in another project with the ids of these
documents (stranger). Routes without a project have one line (anywhere).
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from falcon import inspect, testing

from freezer_api import conf as options
from freezer_api.app import App
from freezer_api.identity.middleware import confirmed_identity
from freezer_api.policies.enforcer import Enforcer
from freezer_api.store.base import EVERYWHERE, Collection, Page, Query
from freezer_api.store.memory import MemoryStore
from tests.fakes.api_world import Caller, Reply, job_body, make_world

TABLE = Path(__file__).with_name("table.yaml")
OWNER, OTHER = "p", "q"
IN_A_PROJECT = ("own", "foreign", "stranger")
ANYWHERE = ("anywhere",)
NOBODY = "nobody"
_WITHOUT_ROLE = "roleless"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One route: what is sent, and the status for each caller in each place."""

    method: str
    path: str
    body: Any
    cells: Mapping[str, Mapping[str, int]]

    @property
    def route(self) -> str:
        """As the table and the API reference write it."""
        return f"{self.method} {self.path}"


def read_rows() -> list[Row]:
    """The table. Fails where a line has not a status for each caller, or a name is unknown."""
    document = yaml.safe_load(TABLE.read_text())
    who = document["who"]
    rows = []
    for route, lines in document["routes"].items():
        # What may follow in parentheses tells two bodies of one route apart.
        method, path = route.split(" ")[:2]
        body = lines.pop("body", None)
        places = IN_A_PROJECT if "{project_id}" in path else ANYWHERE
        assert set(lines) == set(places), f"{route}: the table must have {places}"
        for place, statuses in lines.items():
            assert len(statuses) == len(who), f"{route}, {place}: a cell is missing"
        cells = {place: dict(zip(who, lines[place], strict=True)) for place in places}
        rows.append(Row(method=method, path=path, body=body, cells=cells))
    return rows


def routes_of(app: App) -> set[str]:
    """Every method and path that the application answers by itself."""
    automatic = {"OPTIONS", "HEAD"}
    return {
        f"{method.method} {route.path}"
        for route in inspect.inspect_app(app).routes
        for method in route.methods
        if not method.internal and method.method not in automatic
    }


class Cloud:
    """Documents of every kind in one project, and callers of every role in two."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Nothing changes the rules meanwhile, so that all applications may share them.
        conf = options.load([], prog="freezer-api", config_files=[])
        self._enforcer = Enforcer(conf, lambda: 0.0)
        store = MemoryStore()
        self.ids = prepare(make_world(folder, store=store).caller(OWNER, "member", "owner"))
        self._documents = [
            (kind, found.document_id, found.document)
            for kind in Collection
            for found in store.search(kind, EVERYWHERE, Query(), Page(limit=100))
        ]

    def under(self, enforcer: Enforcer) -> "Cloud":
        """The same under other rules."""
        changed = copy.copy(self)
        changed._enforcer = enforcer
        return changed

    def application(self) -> App:
        """The application over a copy of the documents, for callers whom Keystone confirmed."""
        store = MemoryStore()
        for kind, document_id, document in self._documents:
            store.insert(kind, document_id, copy.deepcopy(document))
        return make_world(
            self._folder, store=store, enforcer=self._enforcer, read_identity=confirmed_identity
        ).app

    def try_cell(self, row: Row, place: str, who: str) -> Reply:
        """What this caller is answered there, with nothing changed by anybody before."""
        url_project = OTHER if place == "stranger" else OWNER
        token_project = OWNER if place in {"own", "anywhere"} else OTHER
        path = row.path.format(project_id=url_project, **self.ids)
        headers = {} if who == NOBODY else confirmed(token_project, who)
        return ask(self.application(), row.method, path, row.body, headers)


def prepare(owner: Caller) -> dict[str, str]:
    """Make a document of every kind; gives the values of the paths' variables."""
    owner.client_registered("node")
    action = {"freezer_action": {"action": "backup", "mode": "fs", "backup_name": "b"}}
    assert owner.post("/actions/action", action).status == 201
    assert owner.post("/jobs/job", job_body()).status == 201
    assert owner.post("/sessions/session", {"schedule": {}}).status == 201
    assert owner.put("/sessions/session/jobs/job").status == 204
    assert owner.send("PUT", "/jobs/job/runs/run", {"status": "completed"}).status == 200
    backup = {"container": "c", "hostname": "h", "backup_name": "b"}
    return {
        "client_id": "node",
        "job_id": "job",
        "run_id": "run",
        "action_id": "action",
        "session_id": "session",
        "backup_id": owner.made("/backups", backup),
    }


def confirmed(project: str, who: str) -> dict[str, str]:
    """What keystonemiddleware puts before the application for such a caller."""
    return {
        "X-Identity-Status": "Confirmed",
        "X-User-Id": f"{who}-user",
        "X-Project-Id": project,
        "X-Roles": "" if who == _WITHOUT_ROLE else who,
    }


def ask(app: App, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Reply:
    """One request without a socket."""
    result = testing.TestClient(app).simulate_request(
        method, path, json=body if body is not None else None, headers=dict(headers)
    )
    return Reply(result.status_code, dict(result.headers), result.text)


def cells() -> Iterator[tuple[Row, str]]:
    """Every row with each of its places."""
    for row in read_rows():
        for place in row.cells:
            yield row, place
