import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from freezer_agent import processes
from freezer_agent.errors import CommandFailed


class Broke(Exception):
    """The stream that is fed failed."""


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter if it ends while it is read
        return False
    return state != "Z"


def wait_gone(pid: int) -> None:
    """A grandchild is reaped by somebody else, a moment later."""
    deadline = time.monotonic() + 60
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still running"
        time.sleep(0.01)


def descriptors() -> set[tuple[str, str]]:
    """What is open, by number and what it is. Another thread may close its own meanwhile."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add((path.name, str(path.readlink())))
    return found


class TestRun:
    def test_gives_both_outputs(self) -> None:
        output = processes.run(shell("cat; echo story >&2"), input_bytes=b"x" * 300_000)
        assert output.stdout == b"x" * 300_000
        assert output.stderr == b"story\n"

    def test_a_status_is_an_error_with_the_tail_of_stderr(self) -> None:
        with pytest.raises(
            CommandFailed, match=r"(?s)sh ended with exit status 3: .*the reason"
        ) as e:
            processes.run(shell("seq 1 5000 >&2; echo the reason >&2; exit 3"))
        assert e.value.status == 3
        assert len(e.value.stderr_tail) <= 4096

    def test_a_program_that_is_not_there_is_told(self) -> None:
        with pytest.raises(CommandFailed, match="cannot be started"):
            processes.run(["/nowhere/program"])

    def test_time_that_is_up_ends_it(self) -> None:
        with pytest.raises(CommandFailed, match="gave no answer within"):
            processes.run(["sleep", "600"], timeout_seconds=0.1)

    def test_arguments_are_not_a_shell_s(self, tmp_path: Path) -> None:
        output = processes.run(["printf", "%s|", "$(touch pwned)", "a b", "*"], cwd=tmp_path)
        assert output.stdout == b"$(touch pwned)|a b|*|"
        assert list(tmp_path.iterdir()) == []


class TestStreamOut:
    def test_yields_what_the_command_writes(self) -> None:
        chunks = list(processes.stream_out(shell("head -c 3000000 /dev/zero")))
        assert b"".join(chunks) == bytes(3_000_000)

    def test_returns_the_status_that_is_accepted(self) -> None:
        stream = processes.stream_out(shell("echo x; exit 1"), accept=(0, 1))
        assert next(stream) == b"x\n"
        with pytest.raises(StopIteration) as end:
            next(stream)
        assert end.value.value == 1

    def test_another_status_is_an_error_after_the_last_chunk(self) -> None:
        stream = processes.stream_out(shell("echo x; echo why >&2; exit 2"), accept=(0, 1))
        assert next(stream) == b"x\n"
        with pytest.raises(CommandFailed, match="exit status 2: why"):
            next(stream)

    def test_a_signal_is_an_error(self) -> None:
        with pytest.raises(CommandFailed, match="signal 9"):
            list(processes.stream_out(shell("kill -9 $$")))

    def test_much_stderr_does_not_block(self) -> None:
        lines: list[bytes] = []
        script = (
            "for i in 1 2 3; do seq 1 60000 >&2; head -c 500000 /dev/zero; done; printf end >&2"
        )
        stream = processes.stream_out(shell(script), on_error_line=lines.append)
        assert sum(map(len, stream)) == 1_500_000
        assert len(lines) == 180_001
        assert lines[-1] == b"end"

    def test_a_line_without_end_does_not_fill_the_memory(self) -> None:
        lines: list[bytes] = []
        script = "head -c 3000000 /dev/zero >&2"
        assert list(processes.stream_out(shell(script), on_error_line=lines.append)) == []
        assert max(map(len, lines)) <= 65536

    def test_nothing_starts_before_the_first_chunk_is_asked_for(self, tmp_path: Path) -> None:
        processes.stream_out(shell("touch started"), cwd=tmp_path)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("script", ["sleep 600", "while echo x >&2; do sleep 0.01; done"])
    def test_one_that_makes_nothing_is_idle_though_it_may_talk(self, script: str) -> None:
        stream = processes.stream_out(shell(script), idle_seconds=0.05)
        assert next(stream) == next(stream) == b""
        stream.close()

    def test_leaving_early_ends_the_whole_group(self) -> None:
        stream = processes.stream_out(shell("sleep 600 & echo $! $$; wait"))
        child, leader = map(int, next(stream).split())
        assert is_running(child)
        stream.close()
        assert not is_running(leader)
        wait_gone(child)

    def test_one_that_ignores_the_first_signal_is_killed(self) -> None:
        """Takes the five seconds of patience that the program has."""
        stream = processes.stream_out(shell("trap '' TERM; echo $$; while :; do sleep 1; done"))
        leader = int(next(stream))
        stream.close()
        assert not is_running(leader)

    def test_a_child_left_behind_does_not_hold_us(self) -> None:
        start = time.monotonic()
        out = b"".join(processes.stream_out(shell("sleep 600 >&2 & echo $!")))
        assert time.monotonic() - start < 60
        os.kill(int(out), signal.SIGKILL)

    def test_an_error_of_the_line_s_reader_ends_the_command(self) -> None:
        def refuse(line: bytes) -> None:
            raise Broke(line)

        with pytest.raises(Broke):
            list(processes.stream_out(shell("echo x >&2; exec sleep 600"), on_error_line=refuse))

    def test_descriptors_are_passed_on(self) -> None:
        reader, writer = os.pipe()
        os.write(writer, b"through the pipe\n")
        os.close(writer)
        try:
            stream = processes.stream_out(["cat", f"/dev/fd/{reader}"], pass_fds=[reader])
            assert b"".join(stream) == b"through the pipe\n"
        finally:
            os.close(reader)

    def test_no_descriptor_is_left(self) -> None:
        before = descriptors()
        list(processes.stream_out(["true"]))
        processes.feed_in(["cat"], [b"x"])
        opened = {what for _, what in descriptors() - before}
        assert not [what for what in opened if what.startswith(("pipe:", "anon_inode:"))]


class TestFeedIn:
    def test_the_command_gets_everything(self, tmp_path: Path) -> None:
        chunks = (bytes([number % 256]) * 100_000 for number in range(50))
        assert processes.feed_in(shell("cat > got"), chunks, cwd=tmp_path) == 0
        assert (tmp_path / "got").stat().st_size == 5_000_000

    def test_a_dead_command_s_status_is_the_error(self) -> None:
        def endless() -> Iterator[bytes]:
            while True:
                yield bytes(100_000)

        with pytest.raises(CommandFailed, match="exit status 7: no thanks"):
            processes.feed_in(
                shell("head -c 10 > /dev/null; echo no thanks >&2; exit 7"), endless()
            )

    def test_a_killed_command_is_an_error(self) -> None:
        with pytest.raises(CommandFailed, match="signal 9"):
            processes.feed_in(shell("kill -9 $$"), [bytes(100_000)] * 100)

    def test_one_that_has_enough_is_content_and_the_rest_is_drawn(self) -> None:
        drawn = []

        def chunks() -> Iterator[bytes]:
            for number in range(100):
                drawn.append(number)
                yield bytes(100_000)

        assert processes.feed_in(shell("head -c 10 > /dev/null"), chunks()) == 0
        assert len(drawn) == 100

    def test_an_error_of_the_chunks_passes_and_ends_the_command(self, tmp_path: Path) -> None:
        error = Broke("source")

        def chunks() -> Iterator[bytes]:
            yield b"x"
            while not (tmp_path / "pid").exists():
                time.sleep(0.01)
            raise error

        with pytest.raises(Broke) as raised:
            processes.feed_in(
                shell("echo $$ > new && mv new pid; exec sleep 600"), chunks(), cwd=tmp_path
            )
        assert raised.value is error
        assert not is_running(int((tmp_path / "pid").read_text()))

    def test_a_broken_pipe_of_the_chunks_is_not_taken_for_the_command_s(self) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"x"
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            processes.feed_in(shell("cat > /dev/null"), chunks())

    def test_much_stderr_does_not_block(self) -> None:
        lines: list[bytes] = []
        script = "seq 1 100000 >&2; cat > /dev/null; seq 1 100000 >&2; exit 1"
        status = processes.feed_in(
            shell(script), [bytes(1 << 20)] * 8, accept=(0, 1), on_error_line=lines.append
        )
        assert status == 1
        assert len(lines) == 200_000

    def test_no_chunks_are_an_empty_stdin(self) -> None:
        assert processes.feed_in(shell('test "$(wc -c)" -eq 0'), []) == 0
