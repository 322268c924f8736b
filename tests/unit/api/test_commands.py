"""freezer-api and freezer-status up to the point where they would serve; the WSGI entry."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from oslo_config import cfg

from freezer_api import conf as options
from freezer_api import wsgi
from freezer_api.assembly import application_from, login_objection, store_from
from freezer_api.cli import manage, serve, status
from freezer_api.conf import ConfigurationInvalid
from freezer_api.errors import StoreUnavailable
from freezer_api.http.middleware import ReadableRefusals
from freezer_api.store.memory import MemoryStore

LOGIN = (
    "[keystone_authtoken]\nauth_type = password\nauth_url = http://127.0.0.1:1/v3\n"
    "username = x\npassword = y\n"
)
ANYWHERE = "0.0.0.0"  # noqa: S104 - the very thing that is refused


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "freezer-api.conf"
    path.write_text(
        f"[DEFAULT]\nauth_strategy = noauth\n[sql]\nconnection = sqlite:///{tmp_path}/f.sqlite\n"
    )
    return path


def loaded(tmp_path: Path, text: str) -> cfg.ConfigOpts:
    path = tmp_path / "some.conf"
    path.write_text(text)
    return options.load([], prog="freezer-api", config_files=[str(path)])


class TestOptions:
    def test_defaults(self) -> None:
        conf = options.load([], prog="freezer-api", config_files=[])
        assert (conf.bind_host, conf.bind_port, conf.auth_strategy) == (ANYWHERE, 9090, "keystone")
        assert (conf.storage.backend, conf.elasticsearch.index_prefix) == ("sql", "freezer")
        assert conf.elasticsearch.verify_certs is True

    def test_words_of_older_releases(self, tmp_path: Path) -> None:
        conf = loaded(
            tmp_path,
            "[storage]\nbackend = sqlalchemy\ndriver = sqlalchemy\n"
            "[database]\nconnection = sqlite:////x/y\n[elasticsearch]\nindex = older\n",
        )
        assert conf.sql.connection == "sqlite:////x/y"
        assert conf.elasticsearch.index_prefix == "older"
        store_from(conf).close()

    @pytest.mark.parametrize(
        "text",
        [
            "[DEFAULT]\nbind_port = x\n",
            "[DEFAULT]\nauth_strategy = trust\n",
            "[DEFAULT]\nmax_limit = 1\n",
            "[storage]\nbackend = paper\n",
            "[elasticsearch]\nindex_prefix = Upper\n",
            "[elasticsearch]\nhosts = ftp://x\n",
            "no section\n",
        ],
    )
    def test_wrong_values_are_told_at_once(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(ConfigurationInvalid):
            loaded(tmp_path, text)

    def test_elasticsearch_user_and_key_exclude_each_other(self, tmp_path: Path) -> None:
        text = "[storage]\nbackend = elasticsearch\n[elasticsearch]\nhttp_auth = u:p:q\n"
        store_from(loaded(tmp_path, text)).close()
        with pytest.raises(StoreUnavailable, match="give one of them"):
            store_from(loaded(tmp_path, f"{text}api_key = k\n"))

    def test_a_folder_or_no_text_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
        for path in (tmp_path, tmp_path / "binary"):
            with pytest.raises(ConfigurationInvalid):
                options.load(["--config-file", str(path)], prog="freezer-api")

    def test_missing_file(self) -> None:
        with pytest.raises(ConfigurationInvalid):
            options.load(["--config-file", "/nonexistent"], prog="freezer-api")

    def test_secrets_are_marked(self) -> None:
        secrets = {
            option.dest
            for _, group in options.list_opts()
            for option in group
            if getattr(option, "secret", False)
        }
        assert {"connection", "password", "http_auth", "api_key"} <= secrets

    def test_every_option_has_help(self) -> None:
        assert all(option.help for _, group in options.list_opts() for option in group)

    def test_command_line_wins(self, config: Path) -> None:
        conf = options.load(
            ["--config-file", str(config), "--bind-port", "7"],
            prog="freezer-api",
            cli_opts=serve._overrides(),
        )
        assert conf.bind_port == 7


class TestServe:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
    def test_loopback_is_fine_under_noauth(self, tmp_path: Path, host: str) -> None:
        conf = self.conf(tmp_path, f"auth_strategy = noauth\nbind_host = {host}")
        assert serve._host(conf) == host

    @pytest.mark.parametrize("host", [ANYWHERE, "::", "192.0.2.1", "node.example.org"])
    def test_others_are_not(self, tmp_path: Path, host: str) -> None:
        text = f"auth_strategy = noauth\nbind_host = {host}"
        with pytest.raises(serve.CannotStart, match="--allow-open-noauth"):
            serve._host(self.conf(tmp_path, text))
        assert serve._host(self.conf(tmp_path, text, "--allow-open-noauth")) == host
        keystone = self.conf(tmp_path, f"bind_host = {host}")
        assert serve._host(keystone) == host

    def test_default_host(self, tmp_path: Path) -> None:
        assert serve._host(self.conf(tmp_path, "auth_strategy = noauth")) == "127.0.0.1"
        assert serve._host(self.conf(tmp_path, "")) == ANYWHERE

    @pytest.mark.parametrize(("argv", "code"), [(["--help"], 0), (["--nonsense"], 2)])
    def test_argparse_codes(self, argv: list[str], code: int) -> None:
        assert serve.main(argv) == code

    @pytest.mark.parametrize("main", [serve.main, manage.main, status.main])
    def test_version(
        self, main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["--version"]) == 0
        assert capsys.readouterr().out.strip() == version("freezer")

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("log_file = /nonexistent/folder/api.log\n", "/nonexistent/folder/api.log"),
            ("log_config_append = /nonexistent/log.ini\n", "/nonexistent/log.ini"),
            ("auth_strategy = keystone\n", "auth_type"),
            ("[keystone_authtoken]\nauth_type = nosuch\n", "nosuch"),
            ("[keystone_authtoken]\nauth_type = password\n", "auth_url"),
            ("[oslo_policy]\npolicy_file = {folder}/some.conf\n", "policy file"),
        ],
    )
    def test_what_the_first_request_would_find_out(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
    ) -> None:
        config = tmp_path / "some.conf"
        config.write_text("[DEFAULT]\n" + text.format(folder=tmp_path))
        assert serve.main(["--config-file", str(config)]) == 2
        printed = capsys.readouterr().err
        assert "freezer-api: " in printed
        assert told in printed
        assert "Traceback" not in printed

    def test_who_only_says_where_keystone_is_may_start(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        text = (
            "auth_strategy = keystone\n[keystone_authtoken]\nwww_authenticate_uri = http://x/v3\n"
        )
        assert login_objection(self.conf(tmp_path, text)) is None
        assert "no auth_type" in caplog.text

    def test_wrong_configuration(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert serve.main(["--config-file", "/nonexistent"]) == 2
        assert "The configuration cannot be used" in capsys.readouterr().err

    def conf(self, tmp_path: Path, text: str, *arguments: str) -> cfg.ConfigOpts:
        path = tmp_path / "some.conf"
        path.write_text(f"[DEFAULT]\n{text}\n")
        return options.load(
            ["--config-file", str(path), *arguments],
            prog="freezer-api",
            cli_opts=serve._CLI_OPTIONS + serve._overrides(),
        )


class TestStatus:
    def run(
        self, config: Path, capsys: pytest.CaptureFixture[str], **parts: Any
    ) -> tuple[int, dict[str, Any]]:
        argv = ["--config-file", str(config), "upgrade", "check", "--json"]
        code = status.main(argv, **parts)
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, report

    def test_nothing_made_yet(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, report = self.run(config, capsys)
        assert (code, report["result"]) == (2, 2)
        assert "freezer-manage db sync" in report["checks"][0]["details"]
        assert not (config.parent / "f.sqlite").exists()

    def test_warnings(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        manage.main(["--config-file", str(config), "db", "sync"])
        capsys.readouterr()
        code, report = self.run(config, capsys)
        assert code == 1
        assert [row["verdict"] for row in report["checks"]] == ["success", "success", "warning"]

    def test_success_as_text(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        manage.main(["--config-file", str(config), "db", "sync"])
        config.write_text(config.read_text().replace("noauth", "keystone") + LOGIN)
        capsys.readouterr()
        assert status.main(["--config-file", str(config), "upgrade", "check"]) == 0
        assert "Document store: Success" in capsys.readouterr().out

    def test_a_login_that_cannot_be_used(
        self, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        manage.main(["--config-file", str(config), "db", "sync"])
        login = "[keystone_authtoken]\nauth_type = password\n"
        config.write_text(config.read_text().replace("noauth", "keystone") + login)
        capsys.readouterr()
        code, report = self.run(config, capsys)
        assert code == 2
        assert "auth_url" in report["checks"][-1]["details"]

    def test_store_away(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        def away(_conf: cfg.ConfigOpts) -> MemoryStore:
            raise StoreUnavailable("Nobody answers at es.example.org")

        code, report = self.run(config, capsys, make_store=away)
        assert code == 2
        assert report["checks"][0]["details"] == "Nobody answers at es.example.org"

    @pytest.mark.parametrize("argv", [[], ["upgrade"], ["--config-file", "/nonexistent"]])
    def test_checks_that_cannot_run(self, argv: list[str]) -> None:
        assert status.main(argv) == 255


class TestWsgi:
    def test_reads_the_environment_and_no_arguments(
        self, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manage.main(["--config-file", str(config), "db", "sync"])
        monkeypatch.setattr(sys, "argv", ["uwsgi", "--http", ":80"])
        second = config.parent / "second.conf"
        second.write_text("[DEFAULT]\nmax_limit = 200\n")
        monkeypatch.setenv("FREEZER_API_CONFIG", f"{config}{os.pathsep}{second}")
        reply = testing.TestClient(wsgi.configured_application()).simulate_get("/v2/p/jobs")
        assert reply.json == {"jobs": []}
        assert reply.headers["x-openstack-request-id"].startswith("req-")

    def test_metrics_under_another_server(self, config: Path, tmp_path: Path) -> None:
        """In a process of its own: where the numbers are kept is settled with an import."""
        manage.main(["--config-file", str(config), "db", "sync"])
        script = (
            "from falcon import testing; from freezer_api import wsgi\n"
            "get = lambda app, path: testing.TestClient(app).simulate_get(path)\n"
            "assert get(wsgi.application, '/v2/p/jobs').status_code == 200\n"
            "print(get(wsgi.metrics, '/metrics').text)"
        )
        folder = tmp_path / "numbers"
        folder.mkdir()
        environment = {
            **os.environ,
            "FREEZER_API_CONFIG": str(config),
            "PROMETHEUS_MULTIPROC_DIR": str(folder),
        }
        page = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
        ).stdout
        counted = (
            'freezer_api_requests_total{method="GET",route="/v2/{project_id}/jobs",status="200"}'
        )
        assert f"{counted} 1.0" in page.splitlines()

    def test_no_metrics_without_a_folder(
        self, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FREEZER_API_CONFIG", str(config))
        monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
        with pytest.raises(ConfigurationInvalid, match="PROMETHEUS_MULTIPROC_DIR"):
            wsgi.configured_metrics()

    def test_a_wrong_configuration_is_told_in_the_log(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("FREEZER_API_CONFIG", "/nonexistent/freezer-api.conf")
        application = wsgi.LazyApplication(wsgi.configured_application)
        reply = testing.TestClient(application).simulate_get("/v2/p/jobs")
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
        assert reply.json["title"] == "Service Unavailable"
        assert "/nonexistent" not in reply.text
        assert "/nonexistent/freezer-api.conf" in caplog.text
        assert "Traceback" not in caplog.text

    def test_is_made_once_and_late(self) -> None:
        made = []

        def make() -> Callable[..., Any]:
            made.append(1)

            def answer(_environ: Any, start_response: Any) -> list[bytes]:
                start_response("204 No Content", [])
                return []

            return answer

        application = wsgi.LazyApplication(make)
        assert made == []
        for _ in range(3):
            assert testing.TestClient(application).simulate_get("/").status_code == 204
        assert made == [1]


class TestKeystoneStrategy:
    """The real middleware in front; no Keystone is needed to turn strangers away."""

    @pytest.fixture
    def client(self, tmp_path: Path) -> testing.TestClient:
        conf = loaded(
            tmp_path,
            "[keystone_authtoken]\nwww_authenticate_uri = http://127.0.0.1:1/v3\n"
            "auth_url = http://127.0.0.1:1/v3\nauth_type = password\nusername = x\n"
            "password = y\nservice_token_roles_required = true\n",
        )
        return testing.TestClient(application_from(conf, MemoryStore()))

    def test_public_paths_are_open(self, client: testing.TestClient) -> None:
        assert client.simulate_get("/").status_code == 300
        assert client.simulate_get("/healthcheck/").text == "OK"

    @pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json"])
    def test_keystone_away(self, client: testing.TestClient, accept: str) -> None:
        headers = {"X-Auth-Token": "t", "Accept": accept}
        reply = client.simulate_get("/v2/p/jobs", headers=headers)
        assert reply.status_code == 503
        assert reply.json["title"] == "Service Unavailable"
        assert "Keystone" in reply.json["description"]
        assert int(reply.headers["retry-after"]) > 0
        assert reply.headers["x-openstack-request-id"].startswith("req-")

    def test_a_guard_that_breaks(self) -> None:
        def guard(_environ: Any, _start: Any) -> Any:
            raise LookupError("no such endpoint")

        refusals = ReadableRefusals(guard, lambda _admitted: guard, failure=LookupError)
        reply = testing.TestClient(refusals).simulate_get("/v2")
        assert (reply.status_code, reply.json["title"]) == (503, "Service Unavailable")
        assert "endpoint" not in reply.text

    @pytest.mark.parametrize("path", ["/v2", "/v2/p/jobs", "/v2/p/jobs/x", "/nope", "//v2/p/jobs"])
    def test_the_rest_needs_a_token(self, client: testing.TestClient, path: str) -> None:
        forged = {
            "X-Identity-Status": "Confirmed",
            "X-Project-Id": "p",
            "X-User-Id": "u",
            "X-Roles": "admin",
        }
        for headers in ({}, forged):
            reply = client.simulate_get(path, headers=headers)
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"].startswith("Keystone uri=")
            assert reply.headers["x-openstack-request-id"].startswith("req-")


class TestDefaultDatabase:
    def test_a_place_that_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As for a user to whom /var/lib does not belong. Root, who may run this, is refused nothing."""
        conf = options.load([], prog="freezer-api", config_files=[])
        monkeypatch.setattr(os, "access", lambda _path, _mode: False)
        with pytest.raises(StoreUnavailable, match=r"connection = sqlite:////ABSOLUTE/PATH"):
            store_from(conf)
        monkeypatch.setattr(os, "access", lambda path, mode: mode == os.F_OK and not path.suffix)
        with pytest.raises(StoreUnavailable, match="cannot be written by this user"):
            store_from(conf)  # the folder may not even be entered
        own = loaded(tmp_path, f"[sql]\nconnection = sqlite:///{tmp_path}/f.sqlite\n")
        store_from(own).close()
