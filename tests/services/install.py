"""Install servers for the tests: python -m tests.services.install [NAME]...

Without names all of them: sshd, pyftpdlib, swift, keystone, mariadb, postgresql, redis,
and the programs of upstream's release (peers); not what only a suite of its own needs. Needs root
for what the system's package manager installs; virtualenvs go to the cache folder
(FREEZER_TEST_CACHE).
"""

import sys
from collections.abc import Callable
from functools import partial

from tests.services import (
    elasticsearch_cluster,
    ftp,
    keystone,
    mariadb,
    peers,
    postgresql,
    redis,
    sshd,
    swift,
)
from tests.services.elasticsearch import ElasticsearchMissing
from tests.services.launching import ServiceMissing

INSTALLERS: dict[str, Callable[[], object]] = {
    "sshd": sshd.install,
    ftp.NAME: ftp.install,
    swift.NAME: swift.install,
    keystone.NAME: keystone.install,
    "mariadb": mariadb.install,
    "postgresql": postgresql.install,
    redis.NAME: redis.install,
    **{name: partial(peers.install, name) for name in peers.NAMES},
}

# What only a suite of its own needs.
OPTIONAL: dict[str, Callable[[], object]] = {
    "elasticsearch-cluster": elasticsearch_cluster.install,
    peers.TEMPEST: partial(peers.install, peers.TEMPEST),
}


def main(names: list[str]) -> int:
    """Install what is named; 1 if something could not be."""
    status = 0
    for name in names or INSTALLERS:
        known = INSTALLERS | OPTIONAL
        if name not in known:
            sys.stderr.write(f"no service {name!r}; there are {', '.join(known)}\n")
            return 2
        try:
            sys.stdout.write(f"{name}: {known[name]()}\n")
        except (ServiceMissing, ElasticsearchMissing) as missing:
            sys.stderr.write(f"{name}: {missing}\n")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
