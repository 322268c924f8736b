"""Three Elasticsearch nodes that trust each other by TLS and ask their callers for credentials.

The server is that of `elasticsearch`, in a copy of its own with the plugin that makes API keys
possible. Needs javac beside java.
"""

import base64
import contextlib
import datetime as dt
import ipaddress
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.services import elasticsearch
from tests.services.elasticsearch import ElasticsearchMissing
from tests.services.launching import free_ports, install_program

NAMES = ("one", "two", "three")
PASSWORD = "only-for-tests"
HEAP = "320m"
START_SECONDS = 300
PLUGIN = Path(__file__).parent / "analysis_plugin/SecurityIndexAnalysis.java"

CONFIG = """\
cluster.name: {cluster}
node.name: {name}
network.host: 127.0.0.1
http.port: {http_port}
transport.port: {transport_port}
discovery.seed_hosts: [{seeds}]
cluster.initial_master_nodes: [{names}]
cluster.routing.allocation.disk.threshold_enabled: false
path.data: {folder}/data
path.logs: {folder}/logs
xpack.security.enabled: true
xpack.security.authc.api_key.enabled: true
xpack.security.transport.ssl: {tls}
xpack.security.http.ssl: {tls}
"""
TLS = "{enabled: true, key: node.key, certificate: node.crt, certificate_authorities: [ca.crt]}"


def find() -> Path:
    """The installed server's folder. Raises ElasticsearchMissing."""
    home = elasticsearch.cache_folder() / f"elasticsearch-{elasticsearch.VERSION}-secured"
    if not (home / "plugins/security-index-analysis/plugin-descriptor.properties").exists():
        raise ElasticsearchMissing(
            f"no {home}: run python -m tests.services.install elasticsearch-cluster"
        )
    return home


def install() -> Path:
    """Copy the server and compile the plugin into it. Raises what says why it cannot."""
    with contextlib.suppress(ElasticsearchMissing):
        return find()
    plain = elasticsearch.install()
    home = elasticsearch.cache_folder() / f"elasticsearch-{elasticsearch.VERSION}-secured"
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(plain, copy, copy_function=os.link)  # the same files, no more space
        _compile(plain, copy / "plugins/security-index-analysis")
        for path in (copy / "plugins", *(copy / "plugins").rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            copy.rename(home)
        except OSError:
            if not home.exists():  # else another installer was faster
                raise
    return find()


def _compile(server: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as classes:
        javac = install_program("javac", "default-jdk-headless")
        compile_it = [javac, "-nowarn", "-cp", f"{server}/lib/*", "-d", classes, str(PLUGIN)]
        done = subprocess.run(compile_it, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ElasticsearchMissing(f"javac could not compile the plugin:\n{done.stderr}")
        shutil.make_archive(str(folder / "plugin"), "zip", classes)
    (folder / "plugin.zip").rename(folder / "plugin.jar")
    (folder / "plugin-descriptor.properties").write_text(
        "name=security-index-analysis\n"
        "description=What the index of users and API keys asks for\n"
        "version=1\n"
        "classname=freezer.tests.SecurityIndexAnalysis\n"
        "java.version=17\n"
        f"elasticsearch.version={elasticsearch.VERSION}\n"
    )


class Cluster:
    """The nodes, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca_certs = folder / "ca.crt"
        ports = free_ports(2 * len(NAMES))
        self._http = dict(zip(NAMES, ports[: len(NAMES)], strict=True))
        self._transport = dict(zip(NAMES, ports[len(NAMES) :], strict=True))
        self._launchers: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The URLs of all nodes, also of dead ones."""
        return tuple(f"https://127.0.0.1:{port}" for port in self._http.values())

    def prepare(self) -> None:
        """Make the keys, the certificates, the password and the configuration of every node."""
        home = find()
        _make_certificates(self.folder)
        seeds = ",".join(f'"127.0.0.1:{port}"' for port in self._transport.values())
        for name in NAMES:
            node = self.folder / name
            elasticsearch._write_config(home, node)
            for file in ("ca.crt", "node.crt", "node.key"):
                shutil.copy(self.folder / file, node / "config")
            (node / "config/elasticsearch.yml").write_text(
                CONFIG.format(
                    cluster=self.folder.name,
                    name=name,
                    http_port=self._http[name],
                    transport_port=self._transport[name],
                    seeds=seeds,
                    names=",".join(NAMES),
                    folder=node,
                    tls=TLS,
                )
            )
        keystore = self._make_keystore(home, self.folder / NAMES[0])
        for name in NAMES[1:]:
            shutil.copy(keystore, self.folder / name / "config")
        if os.geteuid() == 0:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, elasticsearch.NOBODY, elasticsearch.NOBODY)

    def start(self, name: str) -> None:
        """Start a node; it is not ready yet."""
        node = self.folder / name
        (node / "pid").unlink(missing_ok=True)
        with (node / "out.log").open("ab") as log:
            self._launchers[name] = subprocess.Popen(
                [find() / "bin/elasticsearch", "-p", node / "pid"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=node,
                env=self._environment(node),
                start_new_session=True,
                **elasticsearch._unprivileged(),
            )

    def kill(self, name: str) -> None:
        """End a node as a crash does."""
        os.kill(int((self.folder / name / "pid").read_text()), signal.SIGKILL)
        self._launchers[name].wait()

    def wait_for_end(self) -> None:
        """Wait until no node is left, once all have been told to end."""
        for launcher in self._launchers.values():
            launcher.wait(elasticsearch.STOP_SECONDS)

    def wait_for(self, nodes: int) -> None:
        """Wait until so many nodes are together, and every shard has its copies."""
        deadline = time.monotonic() + START_SECONDS
        path = f"/_cluster/health?wait_for_nodes={nodes}&wait_for_status=green&timeout=5s"
        while time.monotonic() < deadline:
            alive = [name for name in NAMES if self._launchers[name].poll() is None]
            # Every node, since each learns by itself that it is one of them.
            with contextlib.suppress(OSError):
                if not any(self.ask("GET", path, node=name)["timed_out"] for name in alive):
                    return
            time.sleep(0.2)
        logs = [(self.folder / name / "out.log").read_text()[-1500:] for name in NAMES]
        raise ElasticsearchMissing("The cluster did not come together:\n" + "\n".join(logs))

    def master(self, *, node: str) -> str:
        """The name of the elected master, as a node knows it."""
        state = self.ask("GET", "/_cluster/state/master_node,nodes", node=node)
        return str(state["nodes"][state["master_node"]]["name"])

    def primary(self, index: str, *, node: str) -> str:
        """The name of the node that has the primary shard of an index."""
        state = self.ask("GET", f"/_cluster/state/nodes,routing_table/{index}", node=node)
        for shard in state["routing_table"]["indices"][index]["shards"]["0"]:
            if shard["primary"]:
                return str(state["nodes"][shard["node"]]["name"])
        raise LookupError(index)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        node: str = NAMES[0],
    ) -> Any:
        """The answer to the administrator. Raises OSError."""
        credentials = base64.b64encode(f"elastic:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            f"https://127.0.0.1:{self._http[node]}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        trusted = ssl.create_default_context(cafile=self.ca_certs)
        with urllib.request.urlopen(request, timeout=30, context=trusted) as answer:  # noqa: S310
            return json.load(answer)

    def _make_keystore(self, home: Path, node: Path) -> Path:
        """A keystore that holds the administrator's password."""
        tool = home / "bin/elasticsearch-keystore"
        if os.geteuid() == 0:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, elasticsearch.NOBODY, elasticsearch.NOBODY)
        for arguments, text in (
            (["create"], ""),
            (["add", "-x", "-s", "bootstrap.password"], PASSWORD),
        ):
            subprocess.run(
                [tool, *arguments],
                input=text,
                text=True,
                check=True,
                cwd=node,
                capture_output=True,
                env=self._environment(node),
                **elasticsearch._unprivileged(),
            )
        return node / "config/elasticsearch.keystore"

    def _environment(self, node: Path) -> dict[str, str]:
        heap = {"ES_JAVA_OPTS": f"-Xms{HEAP} -Xmx{HEAP}"}
        return elasticsearch._environment(node) | heap


@contextmanager
def running() -> Iterator[Cluster]:
    """A cluster of three nodes, ready; everything is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="freezer-cluster-"))
    folder.chmod(0o755)
    with ExitStack() as ending:
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster = Cluster(folder)
        ending.callback(cluster.wait_for_end)
        for name in NAMES:
            ending.enter_context(_guarded(folder / name))
        cluster.prepare()
        for name in NAMES:
            cluster.start(name)
        cluster.wait_for(len(NAMES))
        yield cluster


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """A process that ends the folder's node when we end, however that is."""
    command = [sys.executable, elasticsearch.__file__, "guard", folder]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        guard.communicate()


def _make_certificates(folder: Path) -> None:
    """An authority, and a certificate for every node on the loopback."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("tests' authority", authority_key, None, authority_key)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate("node", key, authority, authority_key)
    (folder / "ca.crt").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (folder / "node.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "node.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate | None,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Signed by the authority, or an authority itself."""
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
    )
    if authority:
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(authority_key, hashes.SHA256())
