"""A real Swift: proxy, account, container and object server with one replica, and memcached.

With its S3 side (s3api). Users come from tempauth, or from a Keystone that runs already.
"""

import os
import pwd
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.services.launching import (
    Server,
    ServiceMissing,
    accepts,
    find_program,
    find_virtualenv,
    free_ports,
    install_program,
    install_virtualenv,
)

NAME = "swift-2.38.3"
REQUIREMENTS = ("swift==2.38.3", "keystonemiddleware>=10.6", "python-keystoneclient>=5")
# The constraint is read at import time from one fixed place, unless the module is told first.
_LAUNCHER = """\
import importlib, sys
import swift.common.utils as utils
utils.SWIFT_CONF_FILE, name = sys.argv[1:3]
sys.argv[:3] = ["swift-%s-server" % name]
importlib.import_module("swift.%s.server" % {"object": "obj"}.get(name, name)).main()
"""

_SWIFT = """\
[swift-hash]
swift_hash_path_prefix = freezer
swift_hash_path_suffix = tests
[storage-policy:0]
name = gold
default = yes
[swift-constraints]
max_file_size = 5368709122
# Small pages, so that 1,100 objects fill two; the S3 side asks for 1,001 at once.
container_listing_limit = 1010
account_listing_limit = 200
"""

# On a busy machine a server may wait many seconds for the processor. With Swift's own limits of
# half a second to three seconds an object is then stored but in no listing, since no updater runs
# here to bring what was put off, or a backend counts as broken for a minute.
_PATIENT = """\
conn_timeout = 120
node_timeout = 240"""

_BACKEND = Template(f"""\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
workers = 0
user = $user
swift_dir = $folder
devices = $folder/node
mount_check = false
disable_fallocate = true
log_name = $kind
{_PATIENT}
container_update_timeout = 240
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
[$kind-replicator]
[$kind-updater]
[$kind-auditor]
""")

_PROXY = Template(f"""\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
workers = 0
user = $user
swift_dir = $folder
log_name = proxy
expose_info = true
{_PATIENT}
client_timeout = 240
error_suppression_limit = 1000000
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl \
$auth copy container-quotas account-quotas $large versioned_writes symlink proxy-logging \
proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$memcached
# Tokens are kept there alone: one that could not be written down in time is refused later.
connect_timeout = 120
io_timeout = 120
pool_timeout = 120
error_suppression_interval = 0
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
[filter:copy]
use = egg:swift#copy
[filter:container-quotas]
use = egg:swift#container_quotas
[filter:account-quotas]
use = egg:swift#account_quotas
[filter:slo]
use = egg:swift#slo
max_manifest_segments = $most_segments
# Segments below a MiB are read at one a second otherwise.
rate_limit_segments_per_sec = 1000
[filter:dlo]
use = egg:swift#dlo
rate_limit_segments_per_sec = 1000
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
dns_compliant_bucket_names = true
max_bucket_listing = 300
min_segment_size = 5242880
""")

# Tempauth takes no users at run time: many, so that every test has an account of its own.
_ACCOUNTS = 600
TEMPAUTH_PASSWORD = "swift-secret"
_TEMPAUTH = Template("""\
[filter:tempauth]
use = egg:swift#tempauth
token_life = $token_life
""")

_KEYSTONE = Template("""\
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = $url
auth_url = $url
auth_type = password
username = $service_user
password = $service_password
project_name = service
user_domain_id = default
project_domain_id = default
delay_auth_decision = True
include_service_catalog = False
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
reseller_prefix = AUTH
reseller_admin_role = ResellerAdmin
[filter:s3token]
use = egg:swift#s3token
auth_uri = $url
auth_type = password
auth_url = $url
username = $service_user
password = $service_password
project_name = service
user_domain_id = default
project_domain_id = default
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeystoneBehind:
    """The Keystone that knows the users, and the user that Swift itself is there."""

    url: str
    service_user: str
    service_password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwiftServer:
    """A running Swift."""

    folder: Path
    port: int
    servers: dict[str, Server]

    @property
    def url(self) -> str:
        """Where it serves; also the endpoint of its S3 side."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def auth_url(self) -> str:
        """Where tempauth gives tokens (version 1)."""
        return f"{self.url}/auth/v1.0"


def user(number: int) -> str:
    """A tempauth user whose account nobody else uses; also an S3 access key."""
    return f"account{number % _ACCOUNTS}:user"


def find() -> Path:
    """Swift's virtualenv. Raises ServiceMissing."""
    find_program("memcached", "memcached")
    return find_virtualenv(NAME)


def install() -> Path:
    """Install Swift and memcached unless they are there. Raises ServiceMissing."""
    install_program("memcached", "memcached")
    return install_virtualenv(NAME, REQUIREMENTS)


def start(
    folder: Path,
    *,
    with_slo: bool = True,
    most_segments: int = 1000,
    token_life_seconds: int = 86400,
    keystone: KeystoneBehind | None = None,
) -> SwiftServer:
    """A Swift that keeps everything in the folder; without `with_slo` it offers only DLO."""
    python = str(find() / "bin/python")
    _check_attributes(folder)
    ports = dict(
        zip(("proxy", "account", "container", "object", "memcached"), free_ports(5), strict=True)
    )
    (folder / "node/d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(_SWIFT)
    (folder / "launch.py").write_text(_LAUNCHER)
    login = pwd.getpwuid(os.geteuid()).pw_name
    for kind in ("account", "container", "object"):
        text = _BACKEND.substitute(kind=kind, port=ports[kind], user=login, folder=folder)
        (folder / f"{kind}.conf").write_text(text)
        _make_ring(python, folder, kind, ports[kind])
    (folder / "proxy.conf").write_text(
        _PROXY.substitute(
            port=ports["proxy"],
            memcached=ports["memcached"],
            user=login,
            folder=folder,
            auth="authtoken s3api s3token keystoneauth" if keystone else "s3api tempauth",
            large="slo dlo" if with_slo else "dlo",
            most_segments=most_segments,
        )
        + (_keystone(keystone) if keystone else _tempauth(token_life_seconds))
    )
    return _launch(python, folder, ports, login)


@contextmanager
def running(folder: Path, *, with_slo: bool = True) -> Iterator[SwiftServer]:
    """A Swift that is gone afterwards."""
    swift = start(folder, with_slo=with_slo)
    try:
        yield swift
    finally:
        stop(swift)


def stop(swift: SwiftServer) -> None:
    """End all its servers."""
    for server in swift.servers.values():
        server.stop()


def _launch(python: str, folder: Path, ports: dict[str, int], login: str) -> SwiftServer:
    memcached = [find_program("memcached", "memcached"), "-l", "127.0.0.1", "-U", "0", "-m", "32"]
    commands = {"memcached": [*memcached, "-p", str(ports["memcached"]), "-u", login]}
    for kind in ("account", "container", "object", "proxy"):
        config = str(folder / f"{kind}.conf")
        launch = [python, str(folder / "launch.py"), str(folder / "swift.conf")]
        commands[kind] = [*launch, kind, config, "-v"]
    servers: dict[str, Server] = {}
    with ExitStack() as on_failure:
        for kind, command in commands.items():
            servers[kind] = Server(command, folder / f"{kind}.log")
            on_failure.callback(servers[kind].kill)
        for kind, server in servers.items():
            server.wait_until(lambda port=ports[kind]: accepts(port))  # type: ignore[misc] # a default binds the port
        servers["proxy"].wait_until(lambda: _is_healthy(ports["proxy"]))
        on_failure.pop_all()
    return SwiftServer(folder=folder, port=ports["proxy"], servers=servers)


def _make_ring(python: str, folder: Path, kind: str, port: int) -> None:
    builder = str(folder / f"{kind}.builder")
    ring = [str(Path(python).with_name("swift-ring-builder")), builder]
    device = ["--region", "1", "--zone", "1", "--ip", "127.0.0.1", "--port", str(port)]
    commands = (
        ["create", "4", "1", "0"],
        ["add", *device, "--device", "d1", "--weight", "1"],
        ["rebalance"],
    )
    for command in commands:
        server = Server([python, *ring, *command], folder / f"{kind}-ring.log")
        if server.wait() > 1:  # 1 is a warning
            raise ServiceMissing(f"no ring could be made: {server.log.read_text()}")


def _tempauth(token_life_seconds: int) -> str:
    users = (user(number).split(":") for number in range(_ACCOUNTS))
    lines = [f"user_{account}_{name} = {TEMPAUTH_PASSWORD} .admin" for account, name in users]
    return _TEMPAUTH.substitute(token_life=token_life_seconds) + "\n".join(lines) + "\n"


def _keystone(keystone: KeystoneBehind) -> str:
    return _KEYSTONE.substitute(
        url=keystone.url,
        service_user=keystone.service_user,
        service_password=keystone.service_password,
    )


def _check_attributes(folder: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        try:
            os.setxattr(file.name, "user.freezer", b"x" * 2000)
        except OSError as error:
            raise ServiceMissing(
                f"Swift needs extended attributes, which {folder} has not: use ext4, xfs, btrfs, "
                "or a tmpfs on Linux 6.6 and later"
            ) from error


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
