"""freezer-agent that kills itself at a chosen moment: python dying_agent.py AREA MOMENT ARGUMENTS...

Moments are the calls and returns of functions, those of the standard library included, that the
code below one of the comma-separated AREA folders of the agent makes. They are counted, not timed,
so that a moment is the same on every machine. With MOMENT 0 the run lives, and writes to the file
of FREEZER_MOMENTS how many moments it had, for each of several AREAs with colons between.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import freezer_agent
from freezer_agent.cli import main

_TOP = Path(freezer_agent.__file__).parent


class Moments:
    """Counts, and kills the process when its moment has come."""

    def __init__(self, areas: str, last: int) -> None:
        self.seen = 0
        self._starts = tuple(str(_TOP / area) for area in areas.split(","))
        self._last = last

    def __call__(self, frame: FrameType, _event: str, _argument: object) -> None:
        if frame.f_code.co_filename.startswith(self._starts):
            self.seen += 1
            if self.seen == self._last:
                os.kill(os.getpid(), signal.SIGKILL)


def run(areas: str, moment: int, arguments: list[str]) -> int:
    counters = [Moments(area, moment) for area in areas.split(":")]

    def count(frame: FrameType, event: str, argument: object) -> None:
        for one in counters:
            one(frame, event, argument)

    threading.setprofile(count)
    sys.setprofile(count)
    try:
        return main(arguments)
    finally:
        sys.setprofile(None)
        if moment == 0:
            told = " ".join(str(one.seen) for one in counters)
            Path(os.environ["FREEZER_MOMENTS"]).write_text(told)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
