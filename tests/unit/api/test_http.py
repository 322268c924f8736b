"""What holds for every route: methods, media types, bodies, errors, request ids."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from freezer_api.app import Limits
from freezer_api.errors import StoreUnavailable
from freezer_api.http.middleware import RequestId
from freezer_api.http.proxies import ProxyHeaders
from freezer_api.store.memory import MemoryStore
from tests.fakes.api_world import Caller, World, make_world

ROUTES = {
    "/backups": "GET, POST",
    "/backups/x": "GET, PATCH, DELETE",
    "/clients": "GET, POST",
    "/clients/x": "GET, DELETE",
    "/jobs": "GET, POST",
    "/jobs/x": "GET, POST, PATCH, DELETE",
    "/jobs/x/event": "POST",
    "/job-reports": "POST",
    "/actions": "GET, POST",
    "/actions/x": "GET, POST, PATCH, DELETE",
    "/sessions": "GET, POST",
    "/sessions/x": "GET, POST, PATCH, DELETE",
    "/sessions/x/action": "POST",
    "/sessions/x/jobs/y": "PUT, DELETE",
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class TestMethods:
    @pytest.mark.parametrize("path", ROUTES)
    def test_options_name_them(self, member: Caller, path: str) -> None:
        reply = member.send("OPTIONS", path)
        allowed = set(reply.headers["allow"].split(", ")) - {"HEAD", "OPTIONS"}
        assert (reply.status, allowed) == (200, set(ROUTES[path].split(", ")))

    @pytest.mark.parametrize("path", ROUTES)
    def test_others_are_refused(self, member: Caller, path: str) -> None:
        for method in set(METHODS) - set(ROUTES[path].split(", ")):
            reply = member.send(method, path, {})
            assert (reply.status, reply.json) == (405, {"title": "405 Method Not Allowed"})
            assert "allow" in reply.headers

    def test_head_is_get_without_a_body(self, member: Caller) -> None:
        get, head = member.get("/jobs"), member.send("HEAD", "/jobs")
        assert (head.status, head.text) == (200, "")
        assert head.headers["content-length"] == get.headers["content-length"]

    @pytest.mark.parametrize("path", ["/jobs/", "/clients/", "/backups/"])
    def test_trailing_slash(self, member: Caller, path: str) -> None:
        assert member.get(path).status == 200

    @pytest.mark.parametrize("path", ["", "/", "/nope", "/jobs/x/nope"])
    def test_unknown_route(self, member: Caller, path: str) -> None:
        reply = member.get(path)
        assert (reply.status, reply.title) == (404, "Not Found")

    def test_v1_is_gone(self, world: World) -> None:
        assert testing.TestClient(world.app).simulate_get("/v1/jobs").status_code == 404


class TestMediaTypes:
    @pytest.mark.parametrize(
        "accept", ["*/*", "application/json", "application/*", "text/html, */*"]
    )
    def test_json_is_fine(self, member: Caller, accept: str) -> None:
        reply = member.get("/jobs", headers={"Accept": accept})
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")

    def test_else_406_without_a_body(self, member: Caller) -> None:
        reply = member.get("/jobs", headers={"Accept": "text/html"})
        assert (reply.status, reply.text) == (406, "")

    @pytest.mark.parametrize("sent", [None, "text/plain", "application/x-www-form-urlencoded"])
    def test_content_type_is_not_looked_at(self, member: Caller, sent: str | None) -> None:
        headers = {"Content-Type": sent} if sent else {}
        assert member.post("/clients", {"client_id": "n"}, headers=headers).status == 201


class TestPublicDocuments:
    def test_versions(self, world: World) -> None:
        client = testing.TestClient(world.app)
        for host in ("one.example.org", "two.example.org:9090"):
            reply = client.simulate_get("/", headers={"Host": host})
            assert reply.status_code == 300
            assert reply.json == {
                "versions": [
                    {
                        "id": "v2",
                        "status": "CURRENT",
                        "updated": "2018-02-21T13:30:00",
                        "links": [{"href": f"http://{host}/v2/", "rel": "self"}],
                    }
                ]
            }

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.org, inner"},
            {"Forwarded": 'for=192.0.2.1;proto=https;host="api.example.org", for=10.0.0.1'},
        ],
    )
    def test_versions_behind_a_proxy(self, world: World, headers: dict[str, str]) -> None:
        def href(app: Any) -> str:
            reply = testing.TestClient(app).simulate_get("/", headers=headers)
            return str(reply.json["versions"][0]["links"][0]["href"])

        assert href(world.app) == "http://falconframework.org/v2/"
        assert href(ProxyHeaders(world.app)) == "https://api.example.org/v2/"
        headers["X-Forwarded-Prefix"] = "/backup/"
        assert href(ProxyHeaders(world.app)) == "https://api.example.org/backup/v2/"
        headers["X-Forwarded-Prefix"] = "//evil/\\"
        assert href(ProxyHeaders(world.app)) == "https://api.example.org/v2/"

    def test_home(self, world: World) -> None:
        client = testing.TestClient(world.app)
        for path in ("/v2", "/v2/"):
            reply = client.simulate_get(path)
            assert reply.headers["content-type"] == "application/json-home"
            resources = reply.json["resources"]
            assert resources["rel/backups"] == {
                "href-template": "/v2/{project_id}/backups/{backup_id}",
                "href-vars": {
                    "project_id": "param/project_id",
                    "backup_id": "param/backup_id",
                },
                "hints": {"allow": ["GET"], "formats": {"application/json": {}}},
            }
            assert resources["rel/jobs"]["hints"]["allow"] == ["GET", "POST"]
            assert resources["rel/job"]["hints"]["allow"] == ["GET", "PATCH", "POST", "DELETE"]

    def test_healthcheck(self, world: World, tmp_path: Path) -> None:
        client = testing.TestClient(world.app)
        for accept in ("*/*", "text/plain"):
            reply = client.simulate_get("/healthcheck", headers={"Accept": accept})
            assert (reply.status_code, reply.text) == (200, "OK")
            assert reply.headers["content-type"].startswith("text/plain")
        (tmp_path / "healthcheck_disable").touch()
        assert client.simulate_get("/healthcheck").status_code == 503


class TestBodies:
    @pytest.mark.parametrize(
        "raw", ["{", "nope", '{"a": NaN}', "[Infinity]", "1e999", "\ufeff{}", "'x'"]
    )
    def test_no_json(self, member: Caller, raw: str) -> None:
        for method, path in (("POST", "/jobs"), ("GET", "/jobs"), ("PATCH", "/jobs/x")):
            reply = member.send(method, path, raw)
            assert (reply.status, reply.title) == (400, "Malformed JSON")

    @pytest.mark.parametrize("raw", [b"\xff\xfe{}", b'"\xe9"', b"\x00"])
    def test_no_utf8(self, member: Caller, raw: bytes) -> None:
        assert member.post("/jobs", raw).title == "Malformed JSON"

    def test_endless_number(self, member: Caller) -> None:
        reply = member.post("/backups", b'{"a": ' + b"9" * 5000 + b"}")
        assert reply.why == "The body is not valid JSON: a number has too many digits"

    @pytest.mark.parametrize("raw", ["[1]", '"x"', "5", "true", "[]"])
    def test_no_object(self, member: Caller, raw: str) -> None:
        for method, path in (("POST", "/clients"), ("GET", "/clients"), ("PATCH", "/actions/x")):
            reply = member.send(method, path, raw)
            assert (reply.status, reply.title) == (400, "Bad request format")
            assert reply.why == "The body must be a JSON object"

    @pytest.mark.parametrize("path", ["/jobs", "/clients", "/backups", "/actions", "/sessions"])
    @pytest.mark.parametrize("raw", [None, "", "  "])
    def test_missing(self, member: Caller, path: str, raw: str | None) -> None:
        reply = member.post(path, raw)
        assert (reply.status, reply.why) == (400, "The request needs a JSON body")

    @pytest.mark.parametrize("raw", ["", "null", "{}", " "])
    def test_lists_need_none(self, member: Caller, raw: str) -> None:
        assert member.get("/jobs", raw).json == {"jobs": []}

    def test_too_large(self, tmp_path: Path) -> None:
        caller = make_world(tmp_path, limits=Limits(max_body_bytes=2000)).caller()
        assert caller.post("/clients", {"client_id": "n", "x": "a" * 1900}).status == 201
        reply = caller.post("/clients", {"client_id": "n", "x": "a" * 2000})
        assert (reply.status, reply.title) == (413, "Content Too Large")

    @pytest.mark.parametrize("depth", [33, 900, 100_000])
    def test_too_deep(self, member: Caller, depth: int) -> None:
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            raw = opening * depth + "1" + closing * depth
            reply = member.post("/backups", raw)
            assert (reply.status, reply.why[:24]) == (400, "The body is nested deepe")

    def test_deep_enough(self, member: Caller) -> None:
        place = {"container": "c", "hostname": "h", "backup_name": "b"}
        inner: Any = 1
        for _ in range(31):
            inner = [inner]
        backup_id = member.made("/backups", {**place, "x": inner})
        assert member.get(f"/backups/{backup_id}").json["backup_metadata"]["x"] == inner

    def test_last_of_equal_keys_counts(self, member: Caller) -> None:
        assert member.post("/clients", '{"client_id": "a", "client_id": "b"}').json == {
            "client_id": "b"
        }

    @pytest.mark.parametrize(
        "text", ["\x00\x1f\u2028", "caf\udce9", "\ud83d", "😀", "</script>", "' OR 1=1 --", "*"]
    )
    def test_every_text_comes_back(self, member: Caller, text: str) -> None:
        place = {"container": text, "hostname": "h", "backup_name": "b", text: [text]}
        backup_id = member.made("/backups", place)
        assert member.get(f"/backups/{backup_id}").json["backup_metadata"] == place
        found = member.get("/backups", {"match": [{"container": text}]}).json["backups"]
        assert len(found) == 1

    @pytest.mark.parametrize("number", [2**63, -(2**70), 10**40, 1.5, 1e300, 0.1])
    def test_every_number_comes_back(self, member: Caller, number: float) -> None:
        place = {"container": "c", "hostname": "h", "backup_name": "b", "n": number}
        backup_id = member.made("/backups", place)
        assert member.get(f"/backups/{backup_id}").json["backup_metadata"]["n"] == number

    def test_chunked(self, world: World) -> None:
        """A server that has decoded the chunks says so; there is no Content-Length then."""
        environ = testing.create_environ("/v2/p/clients", method="POST")
        environ |= {"wsgi.input": io.BytesIO(b'{"client_id": "n"}'), "wsgi.input_terminated": True}
        environ.pop("CONTENT_LENGTH", None)
        reply = testing.StartResponseMock()
        body = b"".join(world.app(environ, reply))
        assert (reply.status, json.loads(body)) == ("201 Created", {"client_id": "n"})

    def test_chunked_too_large(self, world: World) -> None:
        environ = testing.create_environ("/v2/p/clients", method="POST")
        raw = io.BytesIO(b" " * (2**20 + 1))
        environ |= {"wsgi.input": raw, "wsgi.input_terminated": True}
        environ.pop("CONTENT_LENGTH", None)
        reply = testing.StartResponseMock()
        b"".join(world.app(environ, reply))
        assert reply.status.startswith("413")

    @pytest.mark.parametrize("length", ["x", "-1"])
    def test_broken_length(self, world: World, length: str) -> None:
        environ = testing.create_environ("/v2/p/clients", method="POST")
        environ["CONTENT_LENGTH"] = length
        reply = testing.StartResponseMock()
        b"".join(world.app(environ, reply))
        assert reply.status.startswith("400")


class TestErrors:
    def test_store_away(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        class Away(MemoryStore):
            def search(self, *_args: Any) -> Any:
                raise StoreUnavailable("Nobody at es.example.org")

        reply = make_world(tmp_path, store=Away()).caller().get("/jobs")
        assert (reply.status, reply.title) == (503, "Service Unavailable")
        assert reply.headers["retry-after"] == "5"
        assert "es.example.org" not in reply.text
        assert "es.example.org" in caplog.text

    def test_unforeseen(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        class Broken(MemoryStore):
            def search(self, *_args: Any) -> Any:
                raise ZeroDivisionError("inner workings")

        reply = make_world(tmp_path, store=Broken()).caller().get("/jobs")
        assert (reply.status, reply.title) == (500, "Internal Server Error")
        assert "inner workings" not in reply.text
        assert "inner workings" in caplog.text


class TestRequestIds:
    GIVEN = "req-8d3a7f0e-3b7e-4a3f-9d0e-0f9f4f1f2a3b"

    def reply(self, world: World, path: str, **headers: str) -> str:
        app = RequestId(world.app, lambda: "made")
        reply = testing.TestClient(app).simulate_get(path, headers=headers)
        return str(reply.headers["x-openstack-request-id"])

    @pytest.mark.parametrize("path", ["/", "/v2/p/jobs", "/v2/p/jobs/ghost", "/nope"])
    def test_every_answer_has_one(self, world: World, path: str) -> None:
        assert self.reply(world, path) == "req-made"

    def test_the_callers_is_taken_over(self, world: World) -> None:
        assert self.reply(world, "/", **{"X-OpenStack-Request-ID": self.GIVEN}) == self.GIVEN

    @pytest.mark.parametrize("given", ["x", "req-", "req-\u00e9" + "0" * 31, "req-" + "0" * 60])
    def test_unless_it_is_odd(self, world: World, given: str) -> None:
        assert self.reply(world, "/", **{"X-OpenStack-Request-ID": given}) == "req-made"
