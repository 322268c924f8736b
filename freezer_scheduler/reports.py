"""Reports to the board: written into the journal first, then sent, in order, until they arrive."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import Enum
from typing import Any

from freezer_model.job import Job, JobResult, JobState
from freezer_model.run import JobRun
from freezer_scheduler.errors import BoardRefused, BoardUnavailable, JournalUnusable
from freezer_scheduler.job_boards.base import JobBoard, StateReport
from freezer_scheduler.journal import Journal, Letter

log = logging.getLogger(__name__)

_MOST_FAILURES = 3
_MOST_AT_ONCE = 1000
_MOST_IN_ONE = 250
"""Reports in one call: far below what the API takes, so that none takes it long."""

STATE, BACKUP, SESSION_END, RUN_END = "state", "backup", "session-end", "run-end"


class Delivery(Enum):
    """What came of an attempt to deliver."""

    ALL = "all"
    MORE = "more"
    """A part is sent, and the board takes them."""
    STUCK = "stuck"


class Reports:
    """Sends what happened; keeps what could not be sent. Safe for use by several threads."""

    def __init__(
        self,
        board: JobBoard,
        journal: Journal,
        *,
        sending: AbstractContextManager[object] | None = None,
    ) -> None:
        self._board = board
        self._journal = journal
        self._sending = sending or threading.Lock()
        self._announce: Callable[[], object] = self.deliver
        self._away = False
        self._gathering: int | None = None
        """The thread that reports of many jobs now."""
        self._stuck: dict[str, None] = {}
        """The jobs whose report the board could not take lately; the longest waiting first."""

    def leave_delivery(self, wake: Callable[[], object] | None) -> None:
        """From now on only write reports down and call `wake`, whose owner will `deliver`.

        So a board that is slow holds up no job. None: deliver at once again.
        """
        self._announce = wake or self.deliver

    @contextmanager
    def together(self) -> Iterator[None]:
        """What this thread reports inside is kept in one transaction, and sent after it.

        Raises JournalUnusable if it could not be kept: then none of it was.
        """
        try:
            with self._journal.together():
                self._gathering = threading.get_ident()
                try:
                    yield
                finally:
                    self._gathering = None
        finally:
            self._tell()

    def state(
        self,
        job_id: str,
        state: JobState,
        *,
        consumed: bool,
        session_tag: int | None = None,
        ended: JobRun | None = None,
    ) -> None:
        """Tell how the job goes.

        Only runtime keys are sent, so that an edit of the schedule is never overwritten, and the
        event only if it was `consumed`: one that was asked for meanwhile stays. With `ended`, a run
        that counts as ended from the moment that the report is written down, that is told as well.
        """
        changes = state.to_report()
        if not consumed:
            del changes["event"]
        content = {"changes": changes, "session_tag": session_tag}
        try:
            run_end = None if ended is None else (RUN_END, ended.to_document())
            self._journal.post_latest(STATE, job_id, content, _joined, run_end=run_end)
        except JournalUnusable as error:
            # A full disk must not silence a job: send it at once, or it is lost.
            log.warning("job %s: a report could not be kept: %s", job_id, error)
            with suppress(BoardUnavailable, BoardRefused):
                self._board.report(job_id, changes, session_tag)
                if ended is not None:
                    self._board.end_run(ended)
            return
        self._tell()

    def run_end(self, ended: JobRun) -> None:
        """Tell how a run ended, and nothing of how its job stands now, nor of how it stood before."""
        try:
            self._journal.withdraw(STATE, ended.job_id)
            self._journal.post_end(RUN_END, ended.job_id, ended.to_document())
        except JournalUnusable as error:
            log.warning("job %s: a report could not be kept: %s", ended.job_id, error)
            with suppress(BoardUnavailable, BoardRefused):
                self._board.end_run(ended)
            return
        self._tell()

    def backup(self, job_id: str, record: Mapping[str, Any]) -> None:
        """Hand in the metadata of a backup."""
        self._post(BACKUP, job_id, {**record, "job_id": job_id})

    def session_end(self, job: Job, result: JobResult) -> None:
        """Tell the job's session how its part ended."""
        content = {
            "session_id": job.session_id,
            "session_tag": job.session_tag,
            "result": str(result),
        }
        self._post(SESSION_END, job.job_id, content)

    def undelivered_jobs(self) -> set[str]:
        """The jobs whose latest state the board does not know."""
        return self._journal.undelivered_jobs()

    def settle_end(self, job_id: str) -> None:
        """Try to send the end of the job's last run, with all before it, if it is not sent yet.

        Until the board knows of it, it takes the next run of the job for a second one at once.
        """
        try:
            unsent = self._journal.has_letter(RUN_END, job_id)
        except JournalUnusable:
            return  # Then it was sent at once.
        if unsent:
            self.deliver()

    def deliver(self) -> bool:
        """Send all that is kept; whether nothing is left. One that is refused is logged and gone."""
        while (done := self._deliver_some()) is Delivery.MORE:
            pass
        return done is Delivery.ALL

    def deliver_some(self) -> bool:
        """Send a part, so that the caller can do other things between; whether more can be sent."""
        return self._deliver_some() is Delivery.MORE

    def _post(self, kind: str, job_id: str, content: Mapping[str, Any]) -> None:
        try:
            self._journal.post(kind, job_id, content)
        except JournalUnusable as error:
            # Sent at once or lost, as a state is; the job itself goes on.
            log.warning("job %s: a report (%s) could not be kept: %s", job_id, kind, error)
            letter = Letter(number=0, kind=kind, job_id=job_id, content=content, tried=False)
            try:
                self._send(letter)
            except (BoardUnavailable, BoardRefused) as lost:
                log.error("job %s: a report (%s) is lost: %s", job_id, kind, lost)  # noqa: TRY400  # a sentence for the operator
            return
        self._tell()

    def _tell(self) -> None:
        if self._gathering != threading.get_ident():
            self._announce()

    def _deliver_some(self) -> Delivery:
        try:
            with self._sending:
                return self._deliver()
        except JournalUnusable as error:
            self._note(away=True, reason=str(error))
            return Delivery.STUCK

    def _deliver(self) -> Delivery:
        """The letters of one job in order. One that the board cannot take now holds up its job only.

        After some failures the board is left alone until the next time: each costs it, and us,
        several tries.
        """
        letters = self._letters()
        failed: set[str] = set()
        for batch in self._batches(letters[:_MOST_AT_ONCE]):
            try:
                if self._send_together(batch):
                    continue
            except BoardUnavailable as error:
                self._note(away=True, reason=str(error))
                return Delivery.STUCK
            for letter in batch:
                if letter.job_id in failed or not self._journal.tried(letter.number):
                    continue
                try:
                    self._send_for_good(letter)
                except BoardUnavailable as error:
                    self._note(away=True, reason=str(error))
                    failed.add(letter.job_id)
                    self._stuck.pop(letter.job_id, None)
                    self._stuck[letter.job_id] = None
                    if not error.answered or len(failed) >= _MOST_FAILURES:
                        return Delivery.STUCK
        # Those that were not reached stay behind the others.
        reached = {letter.job_id for letter in letters[:_MOST_AT_ONCE]}
        self._stuck = {
            job_id: None for job_id in self._stuck if job_id in failed or job_id not in reached
        }
        if failed:
            return Delivery.STUCK
        if len(letters) > _MOST_AT_ONCE:
            return Delivery.MORE
        self._note(away=False, reason="")
        return Delivery.ALL

    def _send_together(self, letters: Sequence[Letter]) -> bool:
        """Send states of several jobs in one call; False if they must go one by one.

        Raises BoardUnavailable if nobody answers.
        """
        if len(letters) == 1:
            return False
        with self._journal.together():
            sent = [letter for letter in letters if self._journal.tried(letter.number)]
        reports = [
            StateReport(
                job_id=letter.job_id,
                changes=letter.content["changes"],
                session_tag=letter.content["session_tag"],
            )
            for letter in sent
        ]
        try:
            refused = self._board.report_all(reports)
        except (BoardUnavailable, BoardRefused) as error:
            if isinstance(error, BoardUnavailable) and not error.answered:
                raise
            # One of them may be to blame: then it shows by itself, and the others get through.
            log.debug("%d reports are sent one by one: %s", len(sent), error)
            return False
        for job_id, reason in refused.items():
            log.error("A report (%s) of job %s was refused: %s", STATE, job_id, reason)
        with self._journal.together():
            for letter in sent:
                self._journal.delivered(letter.number)
        return True

    def _batches(self, letters: Sequence[Letter]) -> Iterator[list[Letter]]:
        """States of jobs that follow each other together, everything else alone; the order stays.

        One that the board could not take lately stays alone, and spoils no other's.
        """
        batch: list[Letter] = []
        for letter in letters:
            if letter.kind == STATE and letter.job_id not in self._stuck:
                batch.append(letter)
                if len(batch) < _MOST_IN_ONE:
                    continue
            if batch:
                yield batch
            if letter not in batch:
                yield [letter]
            batch = []
        if batch:
            yield batch

    def _letters(self) -> list[Letter]:
        """Those of jobs that are stuck after all others, the ones tried last at the end."""
        place = {job_id: number for number, job_id in enumerate(self._stuck, start=1)}
        return sorted(self._journal.letters(), key=lambda letter: place.get(letter.job_id, 0))

    def _send_for_good(self, letter: Letter) -> None:
        """Send it and forget it; one that is refused is gone as well. Raises BoardUnavailable."""
        try:
            self._send(letter)
        except BoardRefused as error:
            log.error(  # noqa: TRY400  # what was refused is said; a trace adds nothing
                "A report (%s) of job %s was refused: %s", letter.kind, letter.job_id, error
            )
        self._journal.delivered(letter.number)

    def _send(self, letter: Letter) -> None:
        content = letter.content
        if letter.kind == STATE:
            self._board.report(letter.job_id, content["changes"], content["session_tag"])
        elif letter.kind == BACKUP:
            self._board.record_backup(content, again=letter.tried)
        elif letter.kind == RUN_END:
            self._board.end_run(JobRun.from_document(content))
        else:
            job = Job.from_document(
                {
                    "job_id": letter.job_id,
                    "session_id": content["session_id"],
                    "session_tag": content["session_tag"],
                }
            )
            self._board.leave_session(job, JobResult(content["result"]))

    def _note(self, *, away: bool, reason: str) -> None:
        if away and not self._away:
            log.warning("Reports are kept until they can be delivered: %s", reason)
        elif self._away and not away:
            log.info("All reports are delivered")
        self._away = away


def _joined(former: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """One report in place of two: the later one, with what the former alone said."""
    tag = later["session_tag"]
    return {
        "changes": {**former["changes"], **later["changes"]},
        "session_tag": former["session_tag"] if tag is None else tag,
    }
