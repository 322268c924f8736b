"""The command line: an argparse parser made of the option groups.

Values stay text here; `loading` turns them into their types, so that all wrong values are told at
once and files follow the same rules.
"""

import argparse
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from oslo_config import cfg

from freezer_model.errors import FreezerError
from freezer_scheduler.conf.client_commands import WITHOUT_VALUE
from freezer_scheduler.conf.spellings import GROUPS, OptionGroup, Spelled


class UnknownOption(FreezerError):
    """The command line cannot be taken apart: an option is unknown, ambiguous or lacks its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """The words without dashes, and the text of each option by its destination."""

    words: tuple[str, ...]
    values: Mapping[str, Any]


class Parser:
    """Takes a command line apart: old and new names, abbreviations, words and options mixed."""

    def __init__(self, program: str, *, description: str = "", epilog: str = "") -> None:
        self._meanings: dict[str, tuple[str, str | None]] = {}
        self._parser = _Argparse(
            prog=program,
            usage=f"{program} [options] COMMAND",
            description=description,
            epilog=epilog,
            formatter_class=_HelpFormatter,
            add_help=False,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        self._add_plain()
        for group in GROUPS:
            self._add_group(group)

    def parse(self, argv: Sequence[str]) -> CommandLine:
        """Raises UnknownOption."""
        words = [self._spelled_out(word) for word in argv]
        known, rest = self._parser.parse_known_args(_with_values(words))
        for word in rest:
            if word.startswith("-"):
                raise UnknownOption(f"unknown option: {word.partition('=')[0]}")
        return CommandLine(words=tuple(rest), values=vars(known))

    @property
    def flags(self) -> tuple[str, ...]:
        """Every name that is understood."""
        return tuple(self._meanings)

    def help(self) -> str:
        """The text of --help."""
        return self._parser.format_help()

    def _add_group(self, group: OptionGroup) -> None:
        section = self._parser.add_argument_group(group.title)
        for spelled in group.spelled():
            first, *others = spelled.flags
            settings: dict[str, Any] = {"dest": spelled.dest, "help": _help(spelled)}
            if isinstance(spelled.option, cfg.BoolOpt):
                settings |= {"action": "store_const", "const": "true"}
                for flag in spelled.flags:
                    self._add_negation(section, f"--no{flag[2:]}", spelled.dest)
            else:
                settings["metavar"] = str(spelled.option.metavar)
            short = [f"-{spelled.option.short}"] if spelled.option.short else []
            section.add_argument(first, *short, **settings)
            for flag in others:
                section.add_argument(flag, **{**settings, "help": argparse.SUPPRESS})
            self._meanings |= dict.fromkeys(spelled.flags, (spelled.dest, None))

    def _add_negation(self, section: Any, flag: str, dest: str) -> None:
        section.add_argument(
            flag, dest=dest, action="store_const", const="false", help=argparse.SUPPRESS
        )
        self._meanings[flag] = (dest, "false")

    def _add_plain(self) -> None:
        section = self._parser.add_argument_group("Help and files of options")
        section.add_argument("--help", "-h", action="store_true", help="Show this text.")
        section.add_argument("--version", "-V", action="store_true", help="Show the version.")
        section.add_argument(
            "--shell-completion",
            metavar="SHELL",
            help="Print what bash, zsh or fish needs to complete commands and options.",
        )
        section.add_argument(
            "--config-file",
            action="append",
            metavar="FILE",
            help="A file of options, in place of /etc/freezer/scheduler.conf and "
            "~/.freezer/scheduler.conf.",
        )
        section.add_argument(
            "--config-dir",
            action="append",
            metavar="DIRECTORY",
            help="A directory of such files, read in the order of their names.",
        )
        for name in ("help", "version", "config-file", "config-dir", "shell-completion"):
            self._meanings[f"--{name}"] = (name, None)

    def _spelled_out(self, word: str) -> str:
        """The whole name of an abbreviated one, and dashes for underscores.

        argparse calls --os-project-i ambiguous although both names it fits mean one option.
        """
        name, equals, value = word.partition("=")
        if not name.startswith("--") or len(name) < 3:
            return word
        name = name.replace("_", "-")
        if name in self._meanings:
            return f"{name}{equals}{value}"
        fitting = [known for known in self._meanings if known.startswith(name)]
        if len({self._meanings[known] for known in fitting}) > 1:
            raise UnknownOption(f"ambiguous option: {name} could be {', '.join(sorted(fitting))}")
        return f"{fitting[0] if fitting else name}{equals}{value}"


def _with_values(words: Sequence[str]) -> list[str]:
    """The words, with the value of an option that may do without one."""
    complete = []
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        if word in WITHOUT_VALUE and not re.fullmatch(r"[0-9.]+", following):
            complete.append(f"{word}={WITHOUT_VALUE[word]}")
        else:
            complete.append(word)
    return complete


class _Argparse(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UnknownOption(message)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)


def _help(spelled: Spelled) -> str:
    option, text = spelled.option, str(spelled.option.help)
    if isinstance(option, cfg.BoolOpt):
        if option.default:
            text += f" On by default; --no{option.name} turns it off."
    elif option.default and not isinstance(option.default, list):
        text += f" Default is {option.default}."
    return text.replace("%", "%%")
