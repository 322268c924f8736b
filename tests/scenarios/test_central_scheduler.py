"""A central scheduler on a real Keystone: it runs a tenant's job, and the record is the tenant's."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_server import Server, running
from tests.fakes.scheduler_process import SchedulerProcess, await_, cleared
from tests.services.identity_fixtures import (
    SERVICE_PASSWORD,
    Registered,
    Tenancy,
    make_tenancy,
)
from tests.services.keystone import KeystoneServer

pytestmark = pytest.mark.service

REPOSITORY = Path(__file__).parents[2]
REQUEST_ID = "req-fedcba9876543210fedcba9876543210"
HOST_ALLOWS = ("--supported-modes", "fs,nova", "--supported-storages", "local,swift")
"""What this operator lets users do on the central host, so that no cloud is needed here."""


@dataclass(frozen=True)
class Tenant:
    """A user at the API."""

    server: Server
    tenancy: Tenancy

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        token = self.tenancy.session("member").get_token()
        url = f"/v2/{self.tenancy.project_id}{path}"
        return self.server.send(method, url, body, **{"X-Auth-Token": token, **headers})

    def made(self, body: Any, **headers: str) -> str:
        status, answer = self.send("POST", "/jobs", body, **headers)
        assert status == 201, answer
        return str(answer["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        status, answer = self.send("GET", f"/jobs/{job_id}")
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer

    def await_end(self, job_id: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            timing = self.job(job_id)["job_schedule"]
            return timing if timing.get("status") == "completed" else None

        timing = await_("the end of the job", ended)
        assert isinstance(timing, dict)
        return timing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("central")


@pytest.fixture(scope="module")
def server(freezer_in_keystone: Registered, folder: Path) -> Iterator[Server]:
    with running(freezer_in_keystone.config(folder), "--workers", "1") as one:
        yield one


@pytest.fixture
def scheduler(
    freezer_in_keystone: Registered, server: Server, tmp_path: Path
) -> Iterator[SchedulerProcess]:
    with cleared(SchedulerProcess(tmp_path / "host", f"http://127.0.0.1:{server.port}")) as one:
        one.login = {
            "OS_AUTH_URL": freezer_in_keystone.keystone.url,
            "OS_USERNAME": freezer_in_keystone.service_user,
            "OS_PASSWORD": SERVICE_PASSWORD,
            "OS_PROJECT_NAME": freezer_in_keystone.service_project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
        }
        # Registered once before, so that tenants find the client whenever the scheduler starts.
        done = one.command("--centralized-scheduler", *HOST_ALLOWS, "register")
        assert done.returncode == 0, done.stderr
        yield one


@pytest.fixture
def tenant(server: Server, tenancy: Tenancy) -> Tenant:
    return Tenant(server, tenancy)


def telling_agent(folder: Path) -> Path:
    """The real agent, behind a script that keeps the environment which it was given."""
    program = folder / "agent"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys\n"
        f"pathlib.Path({str(folder / 'environment')!r}).write_text(json.dumps(dict(os.environ)))\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'freezer_agent', *sys.argv[1:]])\n"
    )
    program.chmod(0o755)
    return program


def backup_of(source: Path, container: Path, client_id: str) -> dict[str, Any]:
    action = {
        "action": "backup",
        "mode": "fs",
        "backup_name": "tenants",
        "path_to_backup": str(source),
        "storage": "local",
        "container": str(container),
    }
    return {"client_id": client_id, "job_actions": [{"freezer_action": action, "max_retries": 0}]}


def test_a_tenants_job_is_run_and_its_record_is_the_tenants(
    scheduler: SchedulerProcess,
    tenant: Tenant,
    freezer_in_keystone: Registered,
    keystone_server: KeystoneServer,
    folder: Path,
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("precious")
    agent = telling_agent(tmp_path)
    scheduler.start("--centralized-scheduler", *HOST_ALLOWS, "--agent", str(agent))

    body = backup_of(source, tmp_path / "container", scheduler.client_id)
    job = tenant.made(body, **{"X-OpenStack-Request-ID": REQUEST_ID})
    trust = tenant.job(job)["user_credentials"]["trust_id"]
    ended = tenant.await_end(job)
    assert (ended["result"], ended["exit_code"]) == ("success", 0), ended

    def record() -> Any:
        return tenant.send("GET", "/backups", {"match": [{"job_id": job}]})[1]["backups"]

    (backup,) = await_("the record", record)
    assert backup["project_id"] == tenant.tenancy.project_id
    assert backup["user_id"] == freezer_in_keystone.service_user_id
    assert backup["backup_metadata"]["backup_name"] == "tenants"

    def ended_runs() -> Any:
        """Told after the end of the job, in a report of its own."""
        runs = tenant.send("GET", f"/jobs/{job}/runs")[1]["runs"]
        return runs if all(run["status"] == "completed" for run in runs) else None

    (run,) = await_("the end of the run", ended_runs)
    assert (run["project_id"], run["result"]) == (tenant.tenancy.project_id, "success")
    assert tenant.job(job)["user_id"] == tenant.tenancy.user_ids["member"]

    environment = json.loads((tmp_path / "environment").read_text())
    assert environment["OS_TRUST_ID"] == trust
    assert environment["OS_USERNAME"] == freezer_in_keystone.service_user
    assert not [name for name in environment if name.startswith(("OS_PROJECT", "OS_TENANT"))]

    assert trust in keystone_server.trust_ids()
    assert tenant.send("DELETE", f"/jobs/{job}")[0] == 204
    assert trust not in keystone_server.trust_ids()
    assert scheduler.end() == 0
    (line,) = [
        line for line in (folder / "api.log").read_text().splitlines() if f"{trust} of user" in line
    ]
    assert REQUEST_ID in line
    assert tenant.tenancy.project_id in line


@pytest.mark.slow
def test_what_a_central_scheduler_does_not_run_is_told_and_holds_up_nobody(
    scheduler: SchedulerProcess,
    tenant: Tenant,
    keystone_server: KeystoneServer,
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    central = scheduler.client_id
    good = backup_of(source, tmp_path / "container", central)

    # One that asks for a file of the host.
    greedy = backup_of(source, tmp_path / "container", central)
    greedy["job_actions"][0]["freezer_action"]["log_file"] = str(tmp_path / "owned")
    greedy_job = tenant.made(greedy)
    # One that came to the central client later, and so has no trust.
    assert tenant.send("POST", "/clients", {"client_id": "own"})[0] == 201
    later = tenant.made({**good, "client_id": "own"})
    assert tenant.send("PATCH", f"/jobs/{later}", {"client_id": central})[0] == 200
    # One whose trust was ended by hand.
    other = Tenant(tenant.server, make_tenancy(keystone_server, ("member",)))
    orphan = other.made(good)
    keystone_server.end_trust(other.job(orphan)["user_credentials"]["trust_id"])
    fine = tenant.made(good)

    scheduler.start("--centralized-scheduler", *HOST_ALLOWS)
    assert tenant.await_end(fine)["result"] == "success"
    refused = tenant.await_end(greedy_job)
    assert refused["result"] == "fail"
    assert "log_file" in refused["error"]
    assert not (tmp_path / "owned").exists()
    await_("the dead trust", lambda: "not valid any more" in scheduler.log_text())
    log = scheduler.log_text()
    assert log.count(f"job {later} is not run: the job has no trust of its user") == 1
    assert "Traceback" not in log
    assert SERVICE_PASSWORD not in log
    assert scheduler.end() == 0
    for job in (fine, greedy_job, later):
        assert tenant.send("DELETE", f"/jobs/{job}")[0] == 204
    assert other.send("DELETE", f"/jobs/{orphan}")[0] == 204


def test_who_may_not_register_a_central_client_is_told(
    scheduler: SchedulerProcess, tenancy: Tenancy
) -> None:
    scheduler.client_id = f"not-{scheduler.client_id}"
    scheduler.login |= {
        "OS_USERNAME": f"member-{tenancy.name}",
        "OS_PASSWORD": "user-secret",
        "OS_PROJECT_NAME": tenancy.name,
    }
    done = scheduler.command("--centralized-scheduler", "register")
    assert done.returncode == 73
    assert "not allowed" in done.stderr
