"""Changes of one document at the same time, within one process."""

import threading
import time
from typing import Any

import pytest

from freezer_api.errors import VersionConflict
from freezer_api.services.changes import Changes
from freezer_api.services.turns import Turns
from freezer_api.store.base import EVERYWHERE, Collection, Document, Stored
from freezer_api.store.memory import MemoryStore

SESSIONS = Collection.SESSIONS


class Counting(MemoryStore):
    """Counts the changes that came too late."""

    conflicts = 0

    def replace(
        self, collection: Collection, document_id: str, document: Document, version: int
    ) -> Stored:
        try:
            return super().replace(collection, document_id, document, version)
        except VersionConflict:
            self.conflicts += 1
            raise


def test_no_change_of_this_process_comes_too_late_for_another() -> None:
    store = Counting()
    store.insert(SESSIONS, "s", {"project_id": "p", "runs": 0})
    changes = Changes(store, lambda _seconds: None)
    changes._turns = Turns(patience_seconds=120)  # whatever else the machine has to do
    together = threading.Barrier(8)

    def one_more(session: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0)  # let the others run
        return session | {"runs": session["runs"] + 1}

    def work() -> None:
        together.wait(30)
        for _ in range(25):
            changes.apply(SESSIONS, EVERYWHERE, "s", one_more)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get(SESSIONS, EVERYWHERE, "s").document["runs"] == 200
    assert store.conflicts == 0


def test_who_waits_in_vain_goes_on() -> None:
    """A store that does not answer one caller must not stop the others."""
    turns = Turns(patience_seconds=0.01)
    passed = []
    with turns.turn(SESSIONS, "s"):
        with turns.turn(SESSIONS, "s"):
            passed.append("out of turn")
        with turns.turn(SESSIONS, "s"):
            passed.append("and again")
    with turns.turn(SESSIONS, "s"):
        passed.append("in turn")
    assert passed == ["out of turn", "and again", "in turn"]


def test_a_turn_ends_with_its_error() -> None:
    turns = Turns(patience_seconds=60)
    for _ in range(2):
        with pytest.raises(VersionConflict), turns.turn(SESSIONS, "s"):
            _fail()


def _fail() -> None:
    raise VersionConflict(SESSIONS, "s")
