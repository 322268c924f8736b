#!/usr/bin/env python3
"""A fake freezer-agent: a real program that behaves as the [action] of its job file says.

exit_code N          end with it                      sleep S        wait before the end
ignore_term yes      go on after SIGTERM              child FILE     start a child, its pid to FILE
spew N               so many bytes on each pipe       say TEXT       on stderr
report JSON          on stdout                        fail_times N   fail so often, counted in
count FILE           a line for each call             copy FILE      keep the job file there
started FILE         made as soon as it runs          environment FILE   its environment as JSON
escapee FILE         start a child in a session of its own, its pid to FILE
hold FILE            wait until this file is there
"""

import configparser
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path


def main(words: list[str]) -> int:
    """Do as told; the exit code."""
    if words[:3] != ["--metadata-out", "-", "--config"] or len(words) != 4:
        sys.stderr.write(f"unexpected arguments: {words}\n")
        return 64
    parser = configparser.RawConfigParser()
    parser.read(words[3], encoding="utf-8")
    told = {key: value.replace("%%", "%") for key, value in parser["action"].items()}
    if told.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _leave_traces(told, words[3])
    calls = _count(told)
    if "spew" in told:
        for pipe in (sys.stdout, sys.stderr):
            pipe.write("x" * int(told["spew"]))
            pipe.flush()
    sys.stderr.write(told.get("say", ""))
    while "hold" in told and not Path(told["hold"]).exists():
        time.sleep(0.01)
    time.sleep(float(told.get("sleep", "0")))
    if calls <= int(told.get("fail_times", "0")):
        return 1
    sys.stdout.write(told.get("report", ""))
    return int(told.get("exit_code", "0"))


def _leave_traces(told: dict[str, str], job_file: str) -> None:
    if "child" in told:
        # It shares our pipes and our group, as a tar would.
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
        _write(told["child"], str(child.pid))
    if "escapee" in told:
        # It hears no signal to our group, and none of its pipes are ours: as an exec command.
        nothing = subprocess.DEVNULL
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(120)"],
            start_new_session=True,
            stdout=nothing,
            stderr=nothing,
        )
        _write(told["escapee"], str(child.pid))
    if "copy" in told:
        shutil.copy(job_file, told["copy"])
    if "environment" in told:
        _write(told["environment"], json.dumps(dict(os.environ)))
    if "started" in told:
        _write(told["started"], str(os.getpid()))


def _count(told: dict[str, str]) -> int:
    if "count" not in told:
        return 1
    with Path(told["count"]).open("a+", encoding="utf-8") as file:
        file.write("called\n")
        file.seek(0)
        return len(file.readlines())


def _write(name: str, text: str) -> None:
    new = Path(name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
