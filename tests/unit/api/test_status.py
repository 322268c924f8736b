"""freezer-status upgrade check: what it says of an operator's own files."""

import json
from pathlib import Path
from typing import Any

import pytest

from freezer_api.cli import manage, status

LOGIN = (
    "[keystone_authtoken]\nauth_type = password\nauth_url = http://127.0.0.1:1/v3\n"
    "username = x\npassword = y\n"
)


class Checked:
    """A configuration, and what the command says of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.folder = folder
        self.config = folder / "freezer-api.conf"
        self.policy = folder / "policy.yaml"
        self.write()

    def write(self, *lines: str) -> None:
        database = f"sqlite:///{self.folder}/f.sqlite"
        policy = f"[oslo_policy]\npolicy_file = {self.policy}\n"
        fixed = (
            f"[DEFAULT]\nauth_strategy = keystone\n[sql]\nconnection = {database}\n{policy}{LOGIN}"
        )
        self.config.write_text("\n".join([fixed, *lines, ""]))

    def run(self) -> tuple[int, list[dict[str, Any]]]:
        assert manage.main(["--config-file", str(self.config), "db", "sync"]) == 0
        self._capsys.readouterr()
        code = status.main(["--config-file", str(self.config), "upgrade", "check", "--json"])
        checks: list[dict[str, Any]] = json.loads(self._capsys.readouterr().out)["checks"]
        return code, checks

    def of(self, name: str) -> tuple[list[str], str]:
        """Verdicts and details of one check."""
        _, checks = self.run()
        own = [check for check in checks if check["check"] == name]
        return [check["verdict"] for check in own], "\n".join(check["details"] for check in own)


@pytest.fixture
def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checked:
    return Checked(tmp_path, capsys)


def test_all_is_well(checked: Checked) -> None:
    code, checks = checked.run()
    assert code == 0
    assert [check["check"] for check in checks] == [
        "Document store",
        "Policy file",
        "Configuration",
    ]


class TestPolicyFile:
    def test_own_rules_that_fit(self, checked: Checked) -> None:
        checked.policy.write_text('"jobs:get": "rule:mine"\n"mine": "role:backup"\n')
        verdicts, details = checked.of("Policy file")
        assert (verdicts, details) == (["success"], f"{checked.policy} fits this release")

    def test_a_misspelled_rule(self, checked: Checked) -> None:
        checked.policy.write_text('"jobs:gett": "role:backup"\n')
        verdicts, details = checked.of("Policy file")
        assert verdicts == ["warning"]
        assert "jobs:gett" in details

    @pytest.mark.parametrize(
        "text",
        [
            "[1",
            "[1]",
            "5",
            '"jobs:get": "rule:missing"',
            '"one": "rule:two"\n"two": "rule:one"\n"jobs:get": "rule:one"',
            '"jobs:get": "role:a and ("',
            '"jobs:get": 5',
        ],
    )
    def test_a_file_that_cannot_be_used(self, checked: Checked, text: str) -> None:
        checked.policy.write_text(text)
        verdicts, details = checked.of("Policy file")
        assert verdicts == ["failure"]
        assert str(checked.policy) in details
        assert "\n" not in details

    def test_a_file_that_cannot_be_read(self, checked: Checked) -> None:
        checked.policy.mkdir()
        assert checked.of("Policy file")[0] == ["failure"]


class TestOptions:
    def test_names_of_former_releases(self, checked: Checked) -> None:
        checked.write(
            "[elasticsearch]\nindex = older\nuse_ssl = false\n[paste_deploy]\nconfig_file = x",
            "[DEFAULT]\nbind-host = 127.0.0.1\nuse-json = true\nmax_limitt = 5",
            f"{LOGIN}anything = 1",
        )
        verdicts, details = checked.of("Configuration")
        assert set(verdicts) == {"warning"}
        for expected in (
            "[elasticsearch] index is an old name: write [elasticsearch] index_prefix",
            "[elasticsearch] use_ssl is not known",
            "[paste_deploy] config_file is not known",
            "[DEFAULT] max_limitt is not known",
        ):
            assert expected in details
        assert len(verdicts) == 4, details

    def test_the_sample_is_no_objection(self, checked: Checked) -> None:
        """Every option of the sample, with a value, is known."""
        sample = Path(__file__).parents[3] / "etc/freezer-api.conf.sample"
        uncommented = [
            line[1:] if line.startswith("#") and line[1:2].isalpha() and " = " in line else line
            for line in sample.read_text().splitlines()
            if "<None>" not in line and "deprecated" not in line.lower()
        ]
        kept = [line for line in uncommented if not line.startswith(("connection", "policy_file"))]
        own = [line for line in kept if not line.startswith(("http_auth", "disable_by", "log_"))]
        checked.config.write_text("\n".join([*own, "[sql]", "connection = sqlite:////x/y"]))
        from freezer_api import conf as options
        from freezer_api.conf.outdated import outdated_options

        conf = options.load([], prog="freezer-api", config_files=[str(checked.config)])
        objections = list(outdated_options(conf, options.own_opts()))
        assert objections == []
