"""The samples in etc/ are what the generator writes from the options of today.

Only the options of ours are compared: those of the libraries change with their versions.
"""

import configparser
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config import cfg, generator

from freezer_agent import conf as agent_conf
from freezer_api import conf as api_conf
from freezer_scheduler import conf as scheduler_conf

ROOT = Path(__file__).parents[2]
OURS = {
    "freezer-api": api_conf.list_opts,
    "freezer-agent": agent_conf.list_opts,
    "freezer-scheduler": scheduler_conf.list_opts,
}
OF_LIBRARIES = {"keystone_authtoken", "oslo_policy"}
GENERATORS = sorted((ROOT / "etc/config-generator").glob("freezer-*.conf"))


def read_generator(path: Path) -> tuple[str, Path]:
    parser = configparser.ConfigParser(strict=False)
    parser.read(path)
    return path.stem, ROOT / parser["DEFAULT"]["output_file"]


def blocks_of(sample: str, namespace: str) -> dict[tuple[str, str], str]:
    """(group, option) -> the lines that describe it, of one namespace."""
    found = {}
    for section in re.split(r"(?m)^(?=\[)", sample):
        heading = re.match(r"\[(.+)\]", section)
        for part in re.split(r"(?m)^# From ", section):
            if heading and part.startswith(f"{namespace}\n"):
                for block in part.split("\n\n")[1:]:
                    name = re.search(r"(?m)^#?([a-z0-9_]+) =", block)
                    if name:
                        found[heading[1], name[1]] = block.strip()
    return {key: block for key, block in found.items() if key[0] not in OF_LIBRARIES}


def generate(namespace: str) -> str:
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    conf(["--namespace", namespace, "--wrap-width", "79"], default_config_files=[])
    output = io.StringIO()
    generator.generate(conf, output_file=output)
    return output.getvalue()


@pytest.mark.parametrize("path", GENERATORS, ids=lambda path: path.stem)
def test_a_sample_is_up_to_date(path: Path) -> None:
    namespace, sample = read_generator(path)
    wanted = blocks_of(generate(namespace), namespace)
    assert wanted
    assert wanted == blocks_of(sample.read_text(), namespace), "run tox -e genconfig"


@pytest.mark.parametrize("namespace", OURS)
def test_every_option_is_in_its_sample(namespace: str) -> None:
    """Without the generator, so that a namespace it does not know cannot hide one."""
    sample = (ROOT / f"etc/{namespace}.conf.sample").read_text()
    present = blocks_of(sample, namespace)
    for group, options in OURS[namespace]():
        if str(group) not in OF_LIBRARIES:
            for option in options:
                assert (str(group or "DEFAULT"), option.dest) in present


@pytest.mark.parametrize("namespace", OURS)
def test_every_option_has_a_help_in_a_sentence(namespace: str) -> None:
    for group, options in OURS[namespace]():
        if str(group) not in OF_LIBRARIES:
            for option in options:
                assert option.help, option.name
                assert option.help.strip()[0].isupper(), option.name
                assert option.help.strip()[-1] in ".)", option.name


@pytest.mark.parametrize("namespace", OURS)
def test_the_manual_lists_the_options_of_the_program(namespace: str) -> None:
    manual = (ROOT / "doc/source/configuration.rst").read_text()
    assert f".. show-options:: {namespace}" in manual


def test_passwords_are_marked_secret() -> None:
    for list_opts in OURS.values():
        for group, options in list_opts():
            if str(group) not in OF_LIBRARIES:
                for option in options:
                    if re.search(r"(password|secret|secret_key|token|api_key)$", option.dest):
                        assert option.secret, option.name


def test_the_agent_offers_its_options_on_the_command_line() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "freezer_agent", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    for option in agent_conf.all_options():
        assert f"--{option.name.replace('_', '-')}" in shown
