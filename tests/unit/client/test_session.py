"""The line to the API: Keystone and API played by a server on the loopback."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from freezer_client.credentials import Credentials
from freezer_client.errors import ApiUnavailable, Unauthorized
from freezer_client.session import Reply, api_base_url, open_session


class Cloud:
    """A Keystone that knows one user, and an API that tells what it was asked."""

    def __init__(self) -> None:
        self.logins = []
        self.asked = []
        self.keystone_status = 201
        self.catalogued = "http://{address}/backup"
        self.refuse_tokens = 0
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                status, headers, document = cloud.answer(
                    self.command, self.path, self.headers, body
                )
                data = json.dumps(document).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = answer  # noqa: N815 - the name that the library looks for
            do_POST = answer  # noqa: N815 - the same

            def log_message(self, *_args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"

    def answer(self, method: str, path: str, headers: Any, body: Any) -> Any:
        if path.startswith("/identity"):
            return self.identity(path, headers, body)
        self.asked.append((method, path, dict(headers.items()), body))
        if self.refuse_tokens:
            self.refuse_tokens -= 1
            return 401, {}, {"error": {"message": "expired"}}
        return 200, {}, {"jobs": []}

    def identity(self, path: str, _headers: Any, body: Any) -> Any:
        base = f"http://{self.address}/identity"
        if path.rstrip("/") in {"/identity", "/identity/v3"}:
            version = {
                "id": "v3.14",
                "status": "stable",
                "links": [{"rel": "self", "href": f"{base}/v3/"}],
            }
            if path.rstrip("/").endswith("v3"):
                return 200, {}, {"version": version}
            return 300, {}, {"versions": {"values": [version]}}
        self.logins.append(body)
        if self.keystone_status != 201:
            return self.keystone_status, {}, {"error": {"message": "no such user", "code": 401}}
        catalog = [
            {
                "type": "backup",
                "id": "1",
                "name": "freezer",
                "endpoints": [
                    {
                        "interface": "public",
                        "region": "R",
                        "region_id": "R",
                        "id": "2",
                        "url": self.catalogued.format(address=self.address),
                    }
                ],
            }
        ]
        token = {
            "methods": ["password"],
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "project": {"id": "pid", "name": "p", "domain": {"id": "default", "name": "D"}},
            "user": {"id": "uid", "name": "u", "domain": {"id": "default", "name": "D"}},
            "roles": [],
            "catalog": catalog,
        }
        return 201, {"X-Subject-Token": f"token{len(self.logins)}"}, {"token": token}

    def credentials(self, **changes: Any) -> Credentials:
        values = {
            "auth_url": f"http://{self.address}/identity",
            "username": "u",
            "password": "hunter2",
            "project_name": "p",
            **changes,
        }
        return Credentials(**{name: value for name, value in values.items() if value is not None})


@pytest.fixture
def cloud() -> None:
    cloud = Cloud()
    thread = threading.Thread(target=cloud.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield cloud
    cloud.server.shutdown()
    cloud.server.server_close()
    thread.join()


def send(credentials: Any, **more: Any) -> Reply:
    session = open_session(credentials, timeout_seconds=60)
    try:
        return session.send("GET", "jobs", **more)
    finally:
        session.close()


@pytest.mark.parametrize("suffix", ["", "/", "/v2", "/v2/", "/v2/pid", "/v2/AUTH_x"])
def test_the_catalogues_address_may_or_may_not_have_version_and_project(
    cloud: Cloud, suffix: str
) -> None:
    cloud.catalogued += suffix
    assert send(cloud.credentials()).document() == {"jobs": []}
    method, path, headers, body = cloud.asked[0]
    assert (method, path, body) == ("GET", "/backup/v2/pid/jobs", None)
    assert headers["X-Auth-Token"] == "token1"


def test_search_and_query_are_sent(cloud: Cloud) -> None:
    send(cloud.credentials(), body={"match": []}, query={"limit": "5"})
    assert cloud.asked[0][1].endswith("/jobs?limit=5")
    assert cloud.asked[0][3] == {"match": []}


def test_the_login_names_user_project_and_the_default_domain(cloud: Cloud) -> None:
    send(cloud.credentials())
    auth = cloud.logins[0]["auth"]
    assert auth["identity"]["password"]["user"] == {
        "name": "u",
        "password": "hunter2",
        "domain": {"id": "default"},
    }
    assert auth["scope"] == {"project": {"name": "p", "domain": {"id": "default"}}}


def test_a_trust_takes_the_place_of_the_project(cloud: Cloud) -> None:
    send(cloud.credentials(trust_id="t", project_id="other"))
    assert cloud.logins[0]["auth"]["scope"] == {"OS-TRUST:trust": {"id": "t"}}


def test_a_trust_is_put_in_place_of_whatever_project_there_was(cloud: Cloud) -> None:
    own = cloud.credentials(project_id="other", project_domain_id="d")
    send(own.with_trust("t"))
    assert cloud.logins[0]["auth"]["scope"] == {"OS-TRUST:trust": {"id": "t"}}
    assert own.project_id == "other"


def test_another_project_is_asked_about_with_the_same_login(cloud: Cloud) -> None:
    line = open_session(cloud.credentials(), project_id="theirs")
    assert line.project_id() == "theirs"
    line.send("GET", "jobs")
    assert cloud.asked[0][1] == "/backup/v2/theirs/jobs"
    assert cloud.logins[0]["auth"]["scope"]["project"]["name"] == "p"


def test_a_token_logs_in(cloud: Cloud) -> None:
    send(cloud.credentials(username=None, password=None, token="t0"))
    assert cloud.logins[0]["auth"]["identity"]["token"] == {"id": "t0"}


@pytest.mark.parametrize("suffix", ["", "/v3", "/v3/"])
def test_an_application_credential_logs_in_without_a_scope(cloud: Cloud, suffix: str) -> None:
    send(
        cloud.credentials(
            auth_url=f"http://{cloud.address}/identity{suffix}",
            username=None,
            password=None,
            project_name=None,
            application_credential_id="i",
            application_credential_secret="s",
        )
    )
    auth = cloud.logins[0]["auth"]
    assert auth["identity"]["application_credential"] == {"id": "i", "secret": "s"}
    assert "scope" not in auth


def test_one_login_serves_many_requests(cloud: Cloud) -> None:
    session = open_session(cloud.credentials())
    for _ in range(3):
        session.send("GET", "jobs")
    assert session.project_id() == "pid"
    session.close()
    assert (len(cloud.logins), len(cloud.asked)) == (1, 3)


def test_a_token_that_is_no_longer_good_is_renewed_once(cloud: Cloud) -> None:
    cloud.refuse_tokens = 1
    assert send(cloud.credentials()).status == 200
    assert [headers["X-Auth-Token"] for _, _, headers, _ in cloud.asked] == ["token1", "token2"]


def test_a_token_that_is_never_good_is_an_answer(cloud: Cloud) -> None:
    cloud.refuse_tokens = 99
    assert send(cloud.credentials()).status == 401


def test_a_user_that_keystone_does_not_know(cloud: Cloud) -> None:
    cloud.keystone_status = 401
    with pytest.raises(Unauthorized, match="OS_AUTH_URL") as caught:
        send(cloud.credentials())
    assert "hunter2" not in str(caught.value)


def test_a_keystone_that_is_ill_may_recover(cloud: Cloud) -> None:
    cloud.keystone_status = 503
    with pytest.raises(ApiUnavailable, match="Keystone") as caught:
        send(cloud.credentials())
    assert caught.value.may_pass


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_what_keystone_does_not_find_is_no_document_that_is_gone(cloud: Cloud, status: int) -> None:
    cloud.keystone_status = status
    with pytest.raises(ApiUnavailable, match="Keystone answered") as caught:
        send(cloud.credentials())
    assert not caught.value.may_pass


@pytest.mark.parametrize("changes", [{"region_name": "S"}, {"endpoint_type": "admin"}])
def test_an_api_that_the_catalogue_does_not_have(cloud: Cloud, changes: Any) -> None:
    with pytest.raises(ApiUnavailable, match="OS_BACKUP_URL") as caught:
        send(cloud.credentials(**changes))
    assert not caught.value.may_pass


def test_an_address_of_ones_own_counts_more_than_the_catalogues(cloud: Cloud) -> None:
    send(cloud.credentials(backup_url=f"http://{cloud.address}/mine"))
    assert cloud.asked[0][1] == "/mine/v2/pid/jobs"


def test_without_keystone_the_project_is_told_in_a_header(cloud: Cloud) -> None:
    credentials = Credentials(
        auth_type="none", backup_url=f"http://{cloud.address}", project_id="p", username="me"
    )
    assert send(credentials).status == 200
    _method, path, headers, _body = cloud.asked[0]
    assert path == "/v2/p/jobs"
    assert (headers["X-Project-Id"], headers["X-User-Id"]) == ("p", "me")
    assert cloud.logins == []


def test_with_keystone_no_identity_is_claimed(cloud: Cloud) -> None:
    send(cloud.credentials())
    assert "X-Project-Id" not in cloud.asked[0][2]


def test_a_login_that_the_library_cannot_make_is_named(cloud: Cloud) -> None:
    # Keystone's own endpoint is there, but its answer is no token.
    cloud.catalogued = ""
    with pytest.raises(ApiUnavailable):
        send(cloud.credentials())


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, nor can: it is taken."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_nobody_there_may_pass_and_shows_no_password(closed_port: int) -> None:
    url = f"http://me:hunter2@127.0.0.1:{closed_port}"
    with pytest.raises(ApiUnavailable) as caught:
        send(Credentials(auth_type="none", backup_url=url, project_id="p"))
    assert caught.value.may_pass
    assert "hunter2" not in str(caught.value)


def test_no_keystone_there_may_pass(cloud: Cloud, closed_port: int) -> None:
    with pytest.raises(ApiUnavailable, match=r"Keystone|connect") as caught:
        send(cloud.credentials(auth_url=f"http://127.0.0.1:{closed_port}/v3"))
    assert caught.value.may_pass


def test_an_address_that_is_none_cannot_pass() -> None:
    with pytest.raises(ApiUnavailable) as caught:
        send(Credentials(auth_type="none", backup_url="backup.example", project_id="p"))
    assert not caught.value.may_pass


def test_a_certificate_that_is_not_tls_cannot_pass(cloud: Cloud) -> None:
    credentials = Credentials(
        auth_type="none", backup_url=f"https://{cloud.address}", project_id="p"
    )
    with pytest.raises(ApiUnavailable) as caught:
        send(credentials)
    assert not caught.value.may_pass


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        session = open_session(
            Credentials(auth_type="none", backup_url=url, project_id="p"), timeout_seconds=0.05
        )
        with pytest.raises(ApiUnavailable) as caught:
            session.send("GET", "jobs")
        session.close()
    assert caught.value.may_pass


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("http://h:9090", "http://h:9090/v2/p"),
        ("http://h/backup/", "http://h/backup/v2/p"),
        ("http://h/v2/other", "http://h/v2/p"),
        ("http://h/v1", "http://h/v2/p"),
        ("http://h/v20", "http://h/v20/v2/p"),
    ],
)
def test_base_urls(endpoint: Any, base: Any) -> None:
    assert api_base_url(endpoint, "p") == base


def test_certificates_reach_the_library(cloud: Cloud) -> None:
    plain = cloud.credentials()
    assert open_session(replace(plain, cacert="/ca.pem"))._session.verify == "/ca.pem"
    assert open_session(replace(plain, insecure=True, cacert="/ca.pem"))._session.verify is False
    assert open_session(replace(plain, cert="/c", key="/k"))._session.cert == ("/c", "/k")
    assert open_session(replace(plain, cert="/c"))._session.cert == "/c"


def test_the_library_is_loaded_only_when_a_line_is_opened() -> None:
    code = "import sys, freezer_client; sys.exit('keystoneauth1' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
