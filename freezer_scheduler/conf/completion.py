"""What a shell needs to complete commands and options: a script, printed by --shell-completion."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oslo_config import cfg

from freezer_scheduler.conf import client_commands, service_auth
from freezer_scheduler.conf.job_words import COMMANDS, job_options
from freezer_scheduler.conf.spellings import GROUPS, all_spelled

SHELLS = ("bash", "zsh", "fish")

_ALWAYS = ("client_id", "debug", "insecure")
_OF_DAEMON = ("start", "restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """An option of a command. `choices` are its values where they are few and known."""

    flag: str
    help: str
    takes_value: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandWords:
    """A command and its options, by their fields in the command's context."""

    help: str
    fields: tuple[str, ...] = ()
    is_of_daemon: bool = False


def script(shell: str, program: str, commands: Mapping[str, CommandWords]) -> str:
    """The script for one of SHELLS, to be read by the shell when it starts."""
    words = {name: _words(name, command) for name, command in commands.items()}
    return _WRITERS[shell](program, commands, words)


def _words(name: str, command: CommandWords) -> list[Word]:
    spelled = {item.dest: item for item in all_spelled()}
    if command.is_of_daemon:
        groups = [group for group in GROUPS if group.section != client_commands.SECTION]
        chosen = [item for group in groups for item in group.spelled()]
        if name not in _OF_DAEMON:
            chosen = [item for item in chosen if item.dest in _ALWAYS]
    else:
        auth = [item for item in all_spelled() if item.dest.startswith(service_auth.PREFIX)]
        own = [spelled[option] for option in (*command.fields, "json") if option in spelled]
        chosen = [*own, *(spelled[option] for option in _ALWAYS), *auth]
    found = {item.flags[0]: _word(item.flags[0], item.option) for item in chosen}
    if name in COMMANDS:
        jobs = {item.flag: _word(item.flag, item.option) for item in job_options()}
        found = {**found, **jobs}
    for flag in ("--config-file", "--config-dir"):
        found[flag] = Word(flag=flag, help="Where options are read from.", takes_value=True)
    return list(found.values())


def _word(flag: str, option: cfg.Opt) -> Word:
    choices: Any = getattr(option.type, "choices", None) or ()
    word = Word(flag=flag, help=" ".join(str(option.help).split()))
    if isinstance(option, cfg.BoolOpt):
        return word
    return replace(
        word, takes_value=True, choices=tuple(str(choice) for choice in choices if choice)
    )


Commands = Mapping[str, CommandWords]
Words = Mapping[str, Sequence[Word]]


def _bash(program: str, commands: Commands, words: Words) -> str:
    name = f"_{program.replace('-', '_')}"
    cases = "\n".join(
        f"        {command}) options={_quoted(_flags(words[command]))} ;;" for command in commands
    )
    return f"""\
# Completion of {program} for bash: source this file, or keep it as
# /etc/bash_completion.d/{program}
{name}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local word command= options="--help --version"
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in {"|".join(commands)}) command=$word; break ;; esac
    done
    case $command in
{cases}
    esac
    case $previous in
{_choices_of_bash(words)}
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    elif [[ -z $command ]]; then
        COMPREPLY=($(compgen -W {_quoted(" ".join(commands))} -- "$current"))
    fi
}}
complete -o default -F {name} {program}
"""


def _choices_of_bash(words: Words) -> str:
    choices = {word.flag: word.choices for row in words.values() for word in row if word.choices}
    return "\n".join(
        f'        {flag}) COMPREPLY=($(compgen -W {_quoted(" ".join(values))} -- "$current")); '
        "return ;;"
        for flag, values in sorted(choices.items())
    )


def _zsh(program: str, commands: Commands, words: Words) -> str:
    name = f"_{program.replace('-', '_')}"
    told = "\n".join(
        f"        {_quoted(f'{command}:{text.help}')}" for command, text in commands.items()
    )
    cases = "\n".join(
        f"        ({command}) options=({_flags(words[command])}) ;;" for command in commands
    )
    return f"""\
#compdef {program}
# Completion of {program} for zsh: keep this file as {name} in a directory of $fpath.
{name}() {{
    local word command=
    local -a commands options
    commands=(
{told}
    )
    options=(--help --version)
    for word in ${{words[2,CURRENT-1]}}; do
        case $word in ({"|".join(commands)}) command=$word; break ;; esac
    done
    case $command in
{cases}
    esac
    if [[ ${{words[CURRENT]}} == -* ]]; then
        compadd -- $options
    elif [[ -z $command ]]; then
        _describe command commands
    else
        _files
    fi
}}
if [[ $funcstack[1] == {name} ]]; then
    {name} "$@"
else
    compdef {name} {program}
fi
"""


def _fish(program: str, commands: Commands, words: Words) -> str:
    lines = [
        f"# Completion of {program} for fish: keep this file in ~/.config/fish/completions",
        *(
            f"complete -c {program} -f -n __fish_use_subcommand -a {command} "
            f"-d {_of_fish(text.help)}"
            for command, text in commands.items()
        ),
    ]
    for command in commands:
        when = f"-n '__fish_seen_subcommand_from {command}'"
        for word in words[command]:
            value = " -r" if word.takes_value else ""
            if word.choices:
                value = f" -x -a {_of_fish(' '.join(word.choices))}"
            flag = word.flag.removeprefix("--")
            lines.append(f"complete -c {program} {when} -l {flag}{value} -d {_of_fish(word.help)}")
    return "\n".join(lines) + "\n"


_WRITERS: Mapping[str, Callable[[str, Commands, Words], str]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}


def _flags(words: Iterable[Word]) -> str:
    return " ".join(word.flag for word in words)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _of_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
