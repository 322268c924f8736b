"""kill -9 while keys are changed: every backup opens all the time, and doing it again completes it."""

import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from freezer_agent.pipeline.key_slots import is_for
from freezer_agent.pipeline.keys import Keys
from freezer_agent.pipeline.sealed_coding import open_metadata
from tests.fakes.agent_command import AgentCommand

if TYPE_CHECKING:
    import subprocess

BACKUPS = 4
KILLS = 8
# Public keys, because a pass phrase costs a third of a second each time.
KEYS = {name: X25519PrivateKey.from_private_bytes(name.encode() * 8) for name in ("even", "odd_")}


def private_pem(key: X25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def openers(agent: AgentCommand) -> set[str]:
    """Which keys open all backups."""
    found = set(KEYS)
    for path in agent.container.glob("metadata/tar/*/*/*/metadata"):
        document = json.loads(path.read_bytes())
        place = str(path.parent.relative_to(agent.container / "metadata"))
        slots = document["key_slots"]
        names = {
            name
            for name, key in KEYS.items()
            if any(is_for(slot, key.public_key()) for slot in slots)
        }
        for name in names:
            assert open_metadata(document, place, Keys(private_keys=(KEYS[name],)))
        found &= names
    return found


@pytest.mark.slow
def test_no_kill_locks_a_backup(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content\n")
    for name, key in KEYS.items():
        for kind, content in (("key", private_pem(key)), ("pub", public_pem(key))):
            path = tmp_path / f"{name}.{kind}"
            path.touch(mode=0o600)
            path.write_bytes(content)
    for _ in range(BACKUPS):
        agent.backup(source, "--max-level", "9", "--encrypt-recipient", tmp_path / "even.pub")
    chance = random.Random(20)  # noqa: S311 - a seeded test, no secret
    past, coming = "even", "odd_"
    for _ in range(KILLS):
        words: list[str | Path] = ["--action", "admin", "--rekey", *agent.storage, "-N", "name"]
        words += ["--decrypt-key-file", tmp_path / f"{past}.key"]
        words += ["--remove-encrypt-recipient", tmp_path / f"{past}.pub"]
        words += ["--new-encrypt-recipient", tmp_path / f"{coming}.pub"]
        kill_midway(agent.start(*words), agent, chance.randrange(BACKUPS + 1))
        assert openers(agent)
        ended = agent.run(*words)
        assert ended.status == 0, ended.stderr
        assert openers(agent) == {coming}
        past, coming = coming, past


def kill_midway(process: "subprocess.Popen[bytes]", agent: AgentCommand, changes: int) -> None:
    """Kill it as soon as so many backups are seen to have changed, if it has not ended before."""
    files = sorted(agent.container.glob("metadata/tar/*/*/*/metadata"))
    before = [path.stat().st_ino for path in files]
    try:
        while process.poll() is None:
            now = sum(path.stat().st_ino != ino for path, ino in zip(files, before, strict=True))
            if now >= changes:
                break
            time.sleep(0.001)
    finally:
        process.kill()
        process.communicate(timeout=60)
