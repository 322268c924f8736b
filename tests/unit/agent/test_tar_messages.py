import pytest

from freezer_agent.engines.base import SourceNotes
from freezer_agent.engines.tar_messages import TarMessages, readable, unquoted


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"tar: ./log: file changed as we read it", "changed"),
        (b"/usr/bin/tar: ./a: b: file changed as we read it", "changed"),
        (b"tar: ./x: File shrank by 512 bytes; padding with zeros", "changed"),
        (b"tar: ./x: File removed before we read it", "vanished"),
        (b"tar: ./x: Warning: Cannot stat: No such file or directory", "vanished"),
        (b"tar: ./x: Cannot open: No such file or directory", "vanished"),
        (b"tar: ./x: Warning: Cannot open: Permission denied", "unreadable"),
        (b"tar: ./x: Cannot savedir: Input/output error", "unreadable"),
        (
            b"tar: ./x: Warning: Read error at byte 0, while reading 9 bytes: Input/output error",
            "unreadable",
        ),
    ],
)
def test_a_troubled_file_is_counted_and_named(line: bytes, field: str) -> None:
    notes = SourceNotes()
    messages = TarMessages(notes)
    messages.take(line)
    messages.take(line)
    assert getattr(notes, field) == notes.warnings == 1
    assert len(notes.names) == 1
    assert notes.names[0].startswith("./")
    assert "Warning" not in notes.names[0]
    assert messages.failures == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"tar: ./x: socket ignored",
        b"tar: ./x: file is on a different filesystem; not dumped",
        b"tar: ./x: Directory is new",
        b"tar: Exiting with failure status due to previous errors",
    ],
)
def test_harmless_lines_count_for_nothing(line: bytes) -> None:
    notes = SourceNotes()
    messages = TarMessages(notes)
    messages.take(line)
    assert (notes.warnings, notes.names, messages.failures) == (0, [], [])


@pytest.mark.parametrize(
    "line",
    [
        b"tar: memory exhausted",
        b"tar: Error is not recoverable: exiting now",
        b"tar: .: Cannot open: Permission denied",
        b"what tar never says \xff",
    ],
)
def test_everything_else_is_a_failure(line: bytes) -> None:
    messages = TarMessages(SourceNotes())
    messages.take(line)
    assert messages.failures == [line.decode("utf-8", "backslashreplace")]


def test_names_are_cut_at_the_limit_and_counts_are_not() -> None:
    notes = SourceNotes(most_names=3)
    messages = TarMessages(notes)
    for number in range(10):
        messages.take(b"tar: ./%d: file changed as we read it" % number)
    assert notes.changed == 10
    assert len(notes.names) == 3


def test_quoted_names_become_bytes_and_then_one_readable_line() -> None:
    quoted = rb"./caf\303\251 a\nb\\c\377\?"
    assert unquoted(quoted) == b"./caf\xc3\xa9 a\nb\\c\xff\x7f"
    assert readable(quoted) == "./caf\u00e9 a\\nb\\c\\xff\\x7f"
