"""The whole service behind a real Keystone, driven without a socket of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from falcon import testing

from freezer_api import conf as options
from freezer_api.assembly import application_from
from freezer_api.store.memory import MemoryStore
from tests.fakes.api_world import Caller, World, make_world
from tests.services.identity_fixtures import Registered


@dataclass(frozen=True)
class GuardedApi:
    """Everything that production puts before the application stands before this one too."""

    application: Any
    store: MemoryStore
    folder: Path

    def caller(self, project: str, token: str | None = None, **headers: str) -> Caller:
        """Somebody who asks about the project, with the token if there is one."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["X-Auth-Token"] = token
        return Caller(testing.TestClient(self.application), project, given)

    def inside(self) -> World:
        """The same documents, for what a test prepares without asking Keystone."""
        return make_world(self.folder, store=self.store)


def guarded_api(registered: Registered, folder: Path, *extra: str, **authtoken: str) -> GuardedApi:
    """The service by a configuration file; `extra` lines, and options of [keystone_authtoken]."""
    config = registered.config(folder, *extra, **authtoken)
    conf = options.load([], prog="freezer-api", config_files=[str(config)])
    store = MemoryStore()
    return GuardedApi(application_from(conf, store), store, folder)
