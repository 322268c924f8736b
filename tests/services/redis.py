"""A real Redis on the loopback, by which several schedulers agree."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services.launching import Server, accepts, find_program, free_ports, install_program

NAME = "redis"
_PROGRAM, _PACKAGE = "redis-server", "redis-server"


def install() -> str:
    """The server program, installed unless it is there. Raises ServiceMissing."""
    return install_program(_PROGRAM, _PACKAGE)


def find() -> str:
    """The server program. Raises ServiceMissing."""
    return find_program(_PROGRAM, _PACKAGE)


class Redis:
    """One server; it can be stopped and started again on its port."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._server: Server | None = None

    def url(self, *, gone_after: int = 60) -> str:
        """Where it is, as tooz takes it; members not heard of for so many seconds are gone."""
        return f"redis://127.0.0.1:{self.port}?timeout={gone_after}&membership_timeout={gone_after}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        argv = [find(), "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        self._server = Server([*argv, "--dir", str(self._folder)], self._folder / "redis.log")
        self._server.wait_until(lambda: accepts(self.port))

    def stop(self) -> None:
        """End it, if it runs."""
        if self._server is not None:
            self._server.stop()
            self._server = None


@contextmanager
def running() -> Iterator[Redis]:
    """A server that ends with the block."""
    with TemporaryDirectory() as folder:
        server = Redis(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
