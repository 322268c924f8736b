"""The agent's memory, with three storages at the default segment size. Slow: it moves 150 MB."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.agent_command import REPOSITORY
from tests.services.swift import TEMPAUTH_PASSWORD, SwiftServer, user

pytestmark = [pytest.mark.service, pytest.mark.slow]

MIB = 1024 * 1024
# A small process of its own starts the agent: a child's peak begins with its parent's.
_MEASURED = """\
import json, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "freezer_agent", *sys.argv[1:]])
_, status, used = os.wait4(child.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_maxrss]))
"""


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_three_storages_fit_into_128_mib(
    tmp_path: Path, swift_server: SwiftServer, compression: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / str(number)).write_bytes(os.urandom(50 * MIB))
    number = 501 if compression == "gzip" else 502
    job = tmp_path / "job.ini"
    job.write_text(
        f"[job]\npath_to_backup = {source}\nbackup_name = name\nsync = False\n"
        f"compression = {compression}\n"
        f"[storage:disk]\nstorage = local\ncontainer = {tmp_path / 'disk'}\n"
        "[storage:cloud]\nstorage = swift\ncontainer = box\n"
        f"[storage:bucket]\nstorage = s3\ncontainer = bucket\naccess_key = {user(number)}\n"
        f"endpoint = {swift_server.url}\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(REPOSITORY),
        "OS_AUTH_URL": swift_server.auth_url,
        "OS_USERNAME": user(number),
        "OS_PASSWORD": TEMPAUTH_PASSWORD,
        "OS_IDENTITY_API_VERSION": "1",
        "SECRET_KEY": TEMPAUTH_PASSWORD,
    }
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURED, "--config", str(job), "--metadata-out", os.devnull],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    status, peak_kib = json.loads(ended.stdout)
    assert status == 0, ended.stderr
    # tar beside it takes 3 MiB.
    assert peak_kib / 1024 + 3 <= 128
