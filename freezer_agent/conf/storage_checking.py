"""Turn the options of a storage into the value that names it, or say what is wrong with them."""

import getpass
import stat
from collections.abc import Mapping
from pathlib import Path

from freezer_agent.conf.options import Options
from freezer_agent.conf.osrc import read_osrc
from freezer_agent.conf.places import Places
from freezer_agent.errors import RequestInvalid
from freezer_agent.storage_choices import (
    FtpStorage,
    KeystoneAccount,
    LocalStorage,
    S3Storage,
    SshStorage,
    StorageChoice,
    StorageKind,
    SwiftAccountChoice,
    SwiftStorage,
    TokenAccount,
    V1Account,
)

_PREFIX = "freezer_"
_UNKNOWN = "unknown"
_MOST_SEGMENT_BYTES = 5 << 30
_NOTHING_LOCAL = (
    "to keep backups in a directory, or on a mounted file server, give --storage local --container "
    "DIRECTORY"
)


class StorageChecker:
    """Reads the options of one storage and collects reasons against them.

    `where` begins each reason: the name of the section, for one of several storages.
    """

    def __init__(
        self,
        options: Options,
        *,
        places: Places,
        environment: Mapping[str, str],
        reasons: list[str],
        where: str = "",
    ) -> None:
        self._options = options
        self._path = places.path
        self._environment = environment
        self._reasons = reasons
        self._where = f"{where}: " if where else ""

    def choice(self) -> StorageChoice:
        """The storage that is meant. What it lacks has become a reason."""
        container = self._options["container"]
        kind = StorageKind(self._options["storage"])
        in_folders = kind not in {StorageKind.SWIFT, StorageKind.S3}
        if not container.strip() or not (in_folders or container.strip("/ ")):
            self._refuse("--container is empty: give the directory, container or bucket")
        if not in_folders and {".", ".."} & set(container.split("/")):
            self._refuse(f'--container {container!r} has a part "." or "..", which servers remove')
        if not in_folders and self._options["max_segment_size"] > _MOST_SEGMENT_BYTES:
            self._refuse("--max-segment-size is more than the 5 GiB that such servers take at once")
        match kind:
            case StorageKind.LOCAL:
                return self._local(container)
            case StorageKind.SSH:
                return self._ssh(container)
            case StorageKind.S3:
                return self._s3(container)
            case StorageKind.SWIFT:
                return self._swift(container)
            case StorageKind.FTP | StorageKind.FTPS:
                return self._ftp(container, tls=kind is StorageKind.FTPS)

    def _local(self, container: str) -> LocalStorage:
        folder = self._path(container or ".")
        # One of several storages that fails is told by name, and does not stop the others.
        if not self._where and folder.exists() and not folder.is_dir():
            self._refuse(f"--container {str(folder)!r} is no directory")
        return LocalStorage(container=folder)

    def _ssh(self, container: str) -> SshStorage:
        options = self._options
        self._need({"--ssh-host": options["ssh_host"]}, "ssh")
        key_file = self._path(options["ssh_key"]) if options["ssh_key"] else None
        if options.is_given("ssh_key") and key_file is not None and not key_file.is_file():
            self._refuse(f"--ssh-key {str(key_file)!r} does not exist")
        return SshStorage(
            container=container,
            host=options["ssh_host"],
            port=options["ssh_port"],
            username=options["ssh_username"] or getpass.getuser(),
            password=self._secret("ssh_password", "FREEZER_SSH_PASSWORD"),
            key_file=key_file,
            known_hosts_file=self._path(options["ssh_known_hosts"]),
            accept_new_host_key=options["ssh_accept_new_host_key"],
        )

    def _ftp(self, container: str, *, tls: bool) -> FtpStorage:
        options = self._options
        password = self._secret("ftp_password", "FREEZER_FTP_PASSWORD")
        needed = {
            "--ftp-host": options["ftp_host"],
            "--ftp-username": options["ftp_username"],
            "--ftp-password-file (or FREEZER_FTP_PASSWORD)": password,
        }
        self._need(needed, "ftps" if tls else "ftp")
        if options["ftp_keyfile"] and not options["ftp_certfile"]:
            self._refuse("--ftp-keyfile needs --ftp-certfile, the certificate of that key")
        return FtpStorage(
            container=container,
            host=options["ftp_host"],
            port=options["ftp_port"],
            username=options["ftp_username"],
            password=password,
            tls=tls,
            ca_file=self._file("ca_file"),
            certificate_file=self._file("ftp_certfile"),
            key_file=self._file("ftp_keyfile"),
        )

    def _s3(self, container: str) -> S3Storage:
        options = self._options
        access_key = options["access_key"] or self._from("ACCESS_KEY", "AWS_ACCESS_KEY_ID")
        secret_key = self._secret("secret_key", "SECRET_KEY", "AWS_SECRET_ACCESS_KEY")
        endpoint = options["endpoint"] or self._from(
            "ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
        )
        # Without it the library would ask Amazon, with keys that are somebody else's.
        needed = {
            "--access-key (or ACCESS_KEY)": access_key,
            "--secret-key-file (or SECRET_KEY)": secret_key,
            "--endpoint (or ENDPOINT; Amazon's is https://s3.REGION.amazonaws.com)": endpoint,
        }
        self._need(needed, "s3")
        if endpoint and not endpoint.startswith(("http://", "https://")):
            self._refuse(f"--endpoint {endpoint!r} is no URL: it begins with https:// or http://")
        region = options["s3_region"] or self._from("AWS_REGION", "AWS_DEFAULT_REGION")
        return S3Storage(
            container=container,
            access_key=access_key,
            secret_key=secret_key,
            endpoint=endpoint,
            region=region or "us-east-1",
            addressing=options["s3_addressing"],
            segment_bytes=options["max_segment_size"],
            ca_file=self._file("ca_file"),
            insecure=options["insecure"],
        )

    def _swift(self, container: str) -> SwiftStorage:
        options = self._options
        if options["prefix_container"] and not container.startswith(_PREFIX):
            container = _PREFIX + container
        values = self._openstack_values()
        ca_file = self._file("ca_file")
        if ca_file is None and values.get("OS_CACERT"):
            ca_file = self._readable(self._path(values["OS_CACERT"]), "OS_CACERT")
        insecure = options["insecure"] or values.get("OS_INSECURE", "").lower() in {"1", "true"}
        return SwiftStorage(
            container=container,
            account=self._account({**values, "OS_CACERT": str(ca_file or "")}),
            segment_bytes=options["max_segment_size"],
            storage_url=values.get("OS_STORAGE_URL") or None,
            ca_file=ca_file,
            insecure=insecure,
        )

    def _openstack_values(self) -> dict[str, str]:
        """The OS_* values: of the osrc file if one is named, else of the environment."""
        given = self._options["osrc"]
        if not given:
            return {
                name: value
                for name, value in self._environment.items()
                if name.startswith(("OS_", "ST_"))
            }
        try:
            return read_osrc(self._path(given))
        except RequestInvalid as error:
            self._reasons += [f"{self._where}{reason}" for reason in error.reasons]
            return {"OS_AUTH_URL": _UNKNOWN}

    def _account(self, values: Mapping[str, str]) -> SwiftAccountChoice:
        options = self._options
        token, url = values.get("OS_AUTH_TOKEN", ""), values.get("OS_STORAGE_URL", "")
        auth_url = values.get("OS_AUTH_URL") or values.get("ST_AUTH", "")
        if token and url and not values.get("OS_PASSWORD"):
            return TokenAccount(url=url, token=token)
        if not auth_url:
            source = "the osrc file" if options["osrc"] else "the environment"
            self._refuse(
                f"storage swift needs OS_AUTH_URL and the other OS_* values, which {source} does "
                f"not have; {_NOTHING_LOCAL}",
            )
        elif not auth_url.startswith(("http://", "https://")) and auth_url != _UNKNOWN:
            self._refuse(f"OS_AUTH_URL {auth_url!r} is no URL: it begins with https:// or http://")
        version = values.get("OS_IDENTITY_API_VERSION") or values.get("OS_AUTH_VERSION", "")
        if options.is_given("os_identity_api_version"):
            version = options["os_identity_api_version"]
        if version in {"1", "1.0"} or (values.get("ST_AUTH") and not values.get("OS_AUTH_URL")):
            return V1Account(
                auth_url=auth_url,
                username=values.get("OS_USERNAME") or values.get("ST_USER", ""),
                key=values.get("OS_PASSWORD") or values.get("ST_KEY", ""),
            )
        return KeystoneAccount(values=self._keystone_values(values))

    def _keystone_values(self, values: Mapping[str, str]) -> dict[str, str]:
        options, chosen = self._options, dict(values)
        if options["insecure"]:
            chosen["OS_INSECURE"] = "true"
        if options["os_trust_id"]:
            chosen["OS_TRUST_ID"] = options["os_trust_id"]
        if options["project_id"]:
            chosen["OS_PROJECT_ID"] = options["project_id"]
            for name in ("OS_PROJECT_NAME", "OS_TENANT_ID", "OS_TENANT_NAME"):
                chosen.pop(name, None)
        chosen.setdefault("OS_AUTH_TYPE", chosen.get("OS_AUTH_METHOD", ""))
        return chosen

    def _secret(self, name: str, *variables: str) -> str:
        """A secret: of its option, of the file of its file option, or of the environment."""
        given: str = self._options[name]
        file: str = self._options[f"{name}_file"]
        if given and file:
            self._refuse(f"--{_dashed(name)} and --{_dashed(name)}-file say the same thing twice")
        elif file:
            return self._first_line(self._path(file), f"--{_dashed(name)}-file")
        return given or self._from(*variables)

    def _first_line(self, path: Path, option: str) -> str:
        try:
            if path.stat().st_mode & stat.S_IROTH:
                self._refuse(f"{option} {str(path)!r} can be read by everybody: chmod 600 it")
                return ""
            with path.open(encoding="utf-8") as file:
                line = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            self._refuse(f"{option} {str(path)!r} cannot be read: {reason}")
            return ""
        if not line:
            self._refuse(f"{option} {str(path)!r} has an empty first line")
        return line

    def _from(self, *variables: str) -> str:
        found = (self._environment.get(name, "") for name in variables)
        return next(filter(None, found), "")

    def _file(self, name: str) -> Path | None:
        given = self._options[name]
        return self._readable(self._path(given), f"--{_dashed(name)}") if given else None

    def _readable(self, path: Path, what: str) -> Path:
        if not path.is_file():
            self._refuse(f"{what} {str(path)!r} is no file")
        return path

    def _need(self, needed: Mapping[str, str], kind: str) -> None:
        if missing := [name for name, value in needed.items() if not value]:
            self._refuse(f"storage {kind} needs {', '.join(missing)}")

    def _refuse(self, reason: str) -> None:
        self._reasons.append(f"{self._where}{reason}")


def _dashed(name: str) -> str:
    return name.replace("_", "-")
