"""Three nodes of one session, backed up in step, and brought back to one of its runs."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_server import Server, running, write_config
from tests.fakes.scheduler_process import PROJECT, JobDesk, SchedulerProcess, cleared

NODES = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(write_config(tmp_path_factory.mktemp("api"))) as server:
        yield server


@dataclass
class Node:
    """A machine: its scheduler, the tree that it backs up, and the job that does."""

    scheduler: SchedulerProcess
    desk: JobDesk
    source: Path
    container: Path
    job_id: str = ""

    def state(self, number: int) -> dict[str, str]:
        """Put the tree into its state of that number: other files, other contents."""
        for old in self.source.iterdir():
            old.unlink()
        (self.source / "data").write_text(f"{self.scheduler.client_id} {number}")
        (self.source / f"only-{number}").write_text("x" * number)
        return tree(self.source)


def tree(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def a_node(server: Server, folder: Path, stack: ExitStack) -> Node:
    url = f"http://{server.host}:{server.port}"
    scheduler = stack.enter_context(cleared(SchedulerProcess(folder, url)))
    node = Node(
        scheduler=scheduler,
        desk=JobDesk(server, scheduler.client_id),
        source=folder / "source",
        container=folder / "container",
    )
    node.source.mkdir()
    action = {
        "action": "backup",
        "storage": "local",
        "container": str(node.container),
        "path_to_backup": str(node.source),
        "backup_name": "data",
        "hostname": f"host-{folder.name}",
        "remove_older_than": 30,
        "max_level": 1,
    }
    # It is started when it is asked for, not by itself.
    schedule = {"status": "stop"}
    node.job_id = node.desk.create([{"freezer_action": action, "max_retries": 0}], schedule)
    return node


def a_session(server: Server, nodes: list[Node]) -> str:
    body = {"schedule": {}, "hold_off": 600}
    status, answer = server.send("POST", f"/v2/{PROJECT}/sessions", body)
    assert status == 201, answer
    for node in nodes:
        path = f"/v2/{PROJECT}/sessions/{answer['session_id']}/jobs/{node.job_id}"
        assert server.send("PUT", path)[0] in {200, 204}
    return str(answer["session_id"])


def next_run(server: Server, session_id: str, nodes: list[Node]) -> None:
    """All nodes back up in one run of the session, however far apart they begin."""
    path = f"/v2/{PROJECT}/sessions/{session_id}"
    # The last run is long ago, and its hold-off over.
    assert server.send("PATCH", path, {"time_start": 1})[0] == 200
    for node in nodes:
        node.desk.ask_for(node.job_id, "start")
    for node in nodes:
        node.desk.await_schedule(node.job_id, status="completed", result="success", event="")


def restored(node: Node, *words: str) -> list[dict[str, Any]]:
    """The jobs that the command made, by which the schedulers have restored."""
    done = node.scheduler.command("session-restore", "--json", *words)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_three_nodes_go_back_to_the_same_run(server: Server, tmp_path: Path) -> None:
    with ExitStack() as stack:
        nodes = [a_node(server, tmp_path / f"n{number}", stack) for number in range(NODES)]
        session_id = a_session(server, nodes)
        for node in nodes:
            node.scheduler.start()
        states = []
        for number in (1, 2, 3):
            states.append([node.state(number) for node in nodes])
            next_run(server, session_id, nodes)
        _, session = server.send("GET", f"/v2/{PROJECT}/sessions/{session_id}")
        assert session["session_tag"] == 3
        place = f"{tmp_path}/back/{{client_id}}"
        words = ("-s", session_id, "--session-tag", "2", "--restore-abs-path", place)
        made = restored(nodes[0], *words)
        assert [one["client_id"] for one in made] == sorted(n.scheduler.client_id for n in nodes)
        jobs = {one["client_id"]: one["job_id"] for one in made}
        for node, state in zip(nodes, states[1], strict=True):
            client_id = node.scheduler.client_id
            node.desk.await_schedule(jobs[client_id], status="completed", result="success")
            assert tree(tmp_path / "back" / client_id) == state
        # The node that lost this backup says so, and gets no other one.
        (metadata,) = nodes[0].container.glob("metadata/tar/*/*/1_*")
        next(metadata.iterdir()).unlink()
        place = f"{tmp_path}/lost"
        words = ("-s", session_id, "--session-tag", "2", "--restore-abs-path", place)
        one = ("--client", nodes[0].scheduler.client_id, "--max-retries", "0")
        (made_one,) = restored(nodes[0], *words, *one)
        ended = nodes[0].desk.await_schedule(made_one["job_id"], status="completed")
        assert ended["result"] == "fail"
        assert (
            f"There is no backup of 'host-n0_data' of run 2 of session '{session_id}'"
            in (ended["error"])
        )
        assert "of the runs 1, 3" in ended["error"]
        assert not Path(place).exists()
        for node in nodes:
            assert node.scheduler.end() == 0


def test_a_node_without_backup_of_the_run_stops_the_whole(server: Server, tmp_path: Path) -> None:
    with ExitStack() as stack:
        nodes = [a_node(server, tmp_path / f"m{number}", stack) for number in range(NODES)]
        session_id = a_session(server, nodes)
        asking = nodes[0].scheduler
        for number, node in enumerate(nodes):
            for tag in (1, 2)[: 1 if number == 1 else 2]:
                record(server, node, session_id, tag)

        before = jobs(server)
        words = ("session-restore", "-s", session_id, "--restore-abs-path", "/r")
        refused = asking.command(*words, "--session-tag", "2")
        lacking = nodes[1]
        assert refused.returncode == 70
        assert (
            f"Nothing is restored of run 2 of session {session_id}: job {lacking.job_id} of client "
            f"{lacking.scheduler.client_id} made no backup in that run."
        ) in refused.stderr
        assert "--client" in refused.stderr
        assert jobs(server).keys() == before.keys()
        present = [node.scheduler.client_id for node in (nodes[0], nodes[2])]
        some = asking.command(*words, "--session-tag", "2", "--client", ",".join(present))
        assert some.returncode == 0, some.stderr
        assert all(client_id in some.stdout for client_id in present)
        made = [job for key, job in jobs(server).items() if key not in before]
        assert sorted(job["client_id"] for job in made) == sorted(present)
        (document,) = (job for job in made if job["client_id"] == present[1])
        assert document["description"] == f"restore data of run 2 of session {session_id}"
        (step,) = document["job_actions"]
        assert step["freezer_action"] == {
            "action": "restore",
            "storage": "local",
            "container": str(nodes[2].container),
            "backup_name": "data",
            "hostname": "host-m2",
            "session_id": session_id,
            "session_tag": 2,
            "restore_abs_path": "/r",
        }


def record(server: Server, node: Node, session_id: str, tag: int, name: str = "data") -> None:
    """What the API would know of a backup."""
    metadata = {
        "action": "backup",
        "backup_name": name,
        "client_id": node.scheduler.client_id,
        "container": str(node.container),
        "hostname": node.source.parent.name.replace("m", "host-m"),
        "job_id": node.job_id,
        "session_id": session_id,
        "session_tag": tag,
        "time_stamp": 1_700_000_000 + tag,
    }
    assert server.send("POST", f"/v2/{PROJECT}/backups", metadata)[0] == 201


def jobs(server: Server) -> dict[str, dict[str, Any]]:
    """All jobs that the API has, by id."""
    status, answer = server.send("GET", f"/v2/{PROJECT}/jobs?limit=500")
    assert status == 200
    return {job["job_id"]: job for job in answer["jobs"]}


def test_several_backups_of_one_job_and_a_job_that_is_gone(server: Server, tmp_path: Path) -> None:
    with ExitStack() as stack:
        node, gone = (a_node(server, tmp_path / name, stack) for name in ("m1", "m2"))
        session_id = a_session(server, [node, gone])
        for name in ("data", "logs"):
            record(server, node, session_id, 1, name)
        record(server, gone, session_id, 1)
        gone.desk.delete(gone.job_id)
        words = ("session-restore", "-s", session_id, "--session-tag", "1")
        words = (*words, "--restore-abs-path", f"{tmp_path}/{{hostname}}/{{backup_name}}")
        refused = node.scheduler.command(*words)
        assert refused.returncode == 70
        assert "made several backups (data, logs): choose one with --backup-name" in refused.stderr
        assert f"job {gone.job_id} of client {gone.scheduler.client_id} was removed" in (
            refused.stderr
        )
        before = jobs(server)
        client_id = node.scheduler.client_id
        chosen = ("--client", client_id, "--backup-name", "logs", "--overwrite", "--max-retries")
        done = node.scheduler.command(*words, *chosen, "3")
        assert done.returncode == 0, done.stderr
        (made,) = (job for key, job in jobs(server).items() if key not in before)
        (step,) = made["job_actions"]
        assert step["max_retries"] == 3
        action = step["freezer_action"]
        assert (action["backup_name"], action["overwrite"]) == ("logs", True)
        assert action["restore_abs_path"] == f"{tmp_path}/host-m1/logs"
