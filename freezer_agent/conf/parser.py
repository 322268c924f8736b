"""The command line: an argparse parser made of the option groups.

Values stay text here; `options` turns them into their types, so that all wrong values are told at
once and files follow the same rules.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from oslo_config import cfg

from freezer_agent.conf import GROUPS, OptionGroup
from freezer_agent.conf.former import NAMES as FORMER_NAMES
from freezer_agent.conf.kinds import FlagOrText, Share

_DESCRIPTION = "Back up, restore and manage backups of file trees. Works alone, without a server."

_PLAIN = ("help", "version", "config-file", "config-dir", "shell-completion")

_EPILOG = """\
Every yes/no option has a --no twin (--nosync, --nooverwrite); names may be cut short while they
stay unique. Of a setting in several places the command line counts most, then the job file
(--config), then /etc/freezer/freezer.conf and ~/.freezer/freezer.conf.

examples:
  Back up /etc into a directory; run again and again, it makes one full backup and six increments:
    freezer-agent --storage local --container /backups -F /etc -N etc --max-level 6

  See what is there:
    freezer-agent --action info --storage local --container /backups -l

  Restore the state of a moment, into a new directory:
    freezer-agent --action restore --storage local --container /backups -N etc \\
        --restore-abs-path /tmp/etc --restore-from-date 2026-01-31T12:00:00

  Show which chains older than 30 days would be removed; without --dry-run, remove them:
    freezer-agent --action admin --storage local --container /backups -N etc -R 30 --dry-run

  Change the pass phrase of all backups of a name:
    freezer-agent --action admin --rekey --storage local --container /backups -N etc \\
        --encrypt-pass-file OLD --new-encrypt-pass-file NEW --remove-encrypt-pass-file OLD

  Find a file in the newest backup, and restore it alone:
    freezer-agent --action files --storage local --container /backups -N etc --include 'hosts*'
    freezer-agent --action restore --storage local --container /backups -N etc \\
        --restore-abs-path /tmp/etc --include hosts

  Check what is stored, and every byte of a tenth of it:
    freezer-agent --action verify --storage local --container /backups --read-data 10%

exit status:
  0 done   1 failed, or a wrong value   2 unknown option   130 interrupted from the keyboard
  A run that was told to stop (SIGTERM) cleans up and ends by that signal.
"""


class UnknownOption(Exception):
    """The command line cannot be taken apart: an option is unknown, ambiguous or lacks its value."""


class Parser:
    """Takes a command line apart, also with abbreviated, former and `--no` names."""

    def __init__(self, program: str) -> None:
        self._names: dict[str, Any] = {}
        self._parser = _Argparse(
            prog=program,
            usage=f"{program} [--action backup|restore|list|files|verify|info|admin|exec] [options]",
            description=_DESCRIPTION,
            epilog=_EPILOG,
            formatter_class=_HelpFormatter,
            add_help=False,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        for group in GROUPS:
            self._add_group(group)
        self._add_plain()

    def parse(self, argv: Sequence[str]) -> dict[str, Any]:
        """The text of each option on the command line, by its destination. UnknownOption."""
        return vars(self._parser.parse_args([self._spelled_out(word) for word in argv]))

    def help(self) -> str:
        """The text of --help."""
        return self._parser.format_help()

    def names(self) -> list[str]:
        """Every long name that is no former one, for the completion of shells."""
        options = [option.name for group in GROUPS for option in group.options]
        return sorted(f"--{name}" for name in (*options, *_PLAIN))

    def _add_group(self, group: OptionGroup) -> None:
        section = self._parser.add_argument_group(group.title)
        for option in group.options:
            if isinstance(option, cfg.BoolOpt):
                self._add_switch(section, option)
                continue
            settings: dict[str, Any] = {"dest": option.dest, "help": _help(option)}
            if option.multi:
                settings["action"] = "append"
            if isinstance(option.type, FlagOrText):
                settings.update(nargs="?", const="true", metavar="yes|no")
            elif isinstance(option.type, Share):
                settings.update(nargs="?", const="true", metavar=_metavar(option))
            else:
                settings["metavar"] = _metavar(option)
            self._add(section, option, settings)

    def _add_switch(self, section: Any, option: cfg.Opt) -> None:
        self._add(
            section,
            option,
            {
                "dest": option.dest,
                "help": _help(option),
                "action": "store_const",
                "const": "true",
            },
        )
        self._register(section, f"--no{option.name}", option.dest, "false")

    def _add(self, section: Any, option: cfg.Opt, settings: dict[str, Any]) -> None:
        short = [f"-{option.short}"] if option.short else []
        section.add_argument(f"--{option.name}", *short, **settings)
        self._names[f"--{option.name}"] = (option.dest, None)
        for former in option.deprecated_opts:
            if former.name != option.name:
                hidden = {**settings, "help": argparse.SUPPRESS}
                section.add_argument(f"--{former.name}", **hidden)
                self._names[f"--{former.name}"] = (option.dest, None)

    def _register(self, section: Any, name: str, dest: str, value: str) -> None:
        section.add_argument(
            name,
            dest=dest,
            action="store_const",
            const=value,
            help=argparse.SUPPRESS,
        )
        self._names[name] = (dest, value)

    def _add_plain(self) -> None:
        section = self._parser.add_argument_group("Help and files of options")
        section.add_argument("--help", "-h", action="store_true", help="Show this text.")
        section.add_argument("--version", "-V", action="store_true", help="Show the version.")
        section.add_argument(
            "--config-file",
            action="append",
            metavar="FILE",
            help="A file of options in the form of oslo.config, in place of the usual ones.",
        )
        section.add_argument(
            "--config-dir",
            action="append",
            metavar="DIRECTORY",
            help="A directory of such files, read in the order of their names.",
        )
        section.add_argument(
            "--shell-completion",
            metavar="bash|zsh",
            help="Print the completion of option names for a shell.",
        )
        for name in _PLAIN:
            self._names[f"--{name}"] = (name, None)

    def _spelled_out(self, word: str) -> str:
        """The whole name of an abbreviated one, and dashes for underscores.

        argparse calls --remove-older ambiguous although both names it fits mean one option.
        """
        name, equals, value = word.partition("=")
        if not name.startswith("--") or len(name) < 3 or name in self._names:
            return word
        name = name.replace("_", "-")
        if name in self._names:
            return f"{name}{equals}{value}"
        fitting = [known for known in self._names if known.startswith(name)]
        fitting = [known for known in fitting if _is_former(known)] or fitting
        if len({self._names[known] for known in fitting}) > 1:
            listed = ", ".join(sorted(fitting))
            raise UnknownOption(f"ambiguous option: {name} could match {listed}")
        return f"{fitting[0] if fitting else name}{equals}{value}"


def _is_former(name: str) -> bool:
    return name[2:] in FORMER_NAMES or name.removeprefix("--no") in FORMER_NAMES


class _Argparse(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UnknownOption(message)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)


def _help(option: cfg.Opt) -> str:
    text = str(option.help)
    choices = getattr(option.type, "choices", None)
    if choices:
        text += " One of " + ", ".join(choices) + "."
    if option.default not in {None, False, "", -1} and not isinstance(option, cfg.BoolOpt):
        text += f" Default is {option.default}."
    if option.default is True:
        text += f" On by default; --no{option.name} turns it off."
    return text.replace("%", "%%")


def _metavar(option: cfg.Opt) -> str:
    return str(option.metavar or option.dest.upper().rpartition("_")[2])
