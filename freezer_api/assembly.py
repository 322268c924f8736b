"""Options become a running API: the only module that names stores and identity strategies."""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from oslo_config import cfg

from freezer_api.app import PUBLIC_ROUTES, Limits, make_app
from freezer_api.conf import sql
from freezer_api.errors import StoreUnavailable
from freezer_api.http.middleware import PublicPaths, ReadableRefusals, RequestId
from freezer_api.http.proxies import ProxyHeaders
from freezer_api.identity.middleware import claimed_identity, confirmed_identity
from freezer_api.identity.trusts import NoTrusts, Trusts
from freezer_api.metrics.cache import FleetCache
from freezer_api.metrics.fleet import read_fleet
from freezer_api.metrics.meters import Meters
from freezer_api.metrics.page import MetricsPage
from freezer_api.metrics.requests import MeasuredRequests
from freezer_api.metrics.sightings import SharedSightings
from freezer_api.policies.enforcer import Enforcer
from freezer_api.services.delegations import DelegationRule
from freezer_api.services.sightings import NoSightings
from freezer_api.store.base import DocumentStore, ManagedStore
from freezer_api.store.freshness import Freshness
from freezer_api.store.measured import Measured
from freezer_api.store.transfer import PortableStore
from freezer_model.clock import utc_now

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from freezer_api.store.elasticsearch import Cluster

SIGHTINGS = "sightings"
"""The file, in the folder of the metrics, that tells when clients were last seen."""
FRESHNESS = "freshness"
"""The file there that tells workers of each other's writes."""


def application_from(
    conf: cfg.ConfigOpts, store: DocumentStore, metrics: Path | None = None
) -> "WSGIApplication":
    """The whole service as a WSGI application, with all that stands before the API itself.

    `metrics` is the folder in which workers keep their numbers (see `metrics.meters.activate`), None
    where nobody asks for them.
    """
    strategy = conf.auth_strategy
    meters = None if metrics is None else Meters()
    app = make_app(
        store=store if meters is None else Measured(store, meters, time.perf_counter),
        enforcer=Enforcer(conf, time.monotonic),
        read_identity={"keystone": confirmed_identity, "noauth": claimed_identity}[strategy],
        trusts=_trusts(conf),
        delegation_rule=DelegationRule(
            for_central_clients=conf.centralized_scheduler.enabled,
            for_all_clients=conf.centralized_scheduler.enforce_trusts,
        ),
        clock=utc_now,
        new_id=new_id,
        sleep=time.sleep,
        limits=Limits(
            max_limit=conf.max_limit,
            max_body_bytes=conf.max_body_bytes,
            max_nesting=conf.max_nesting,
            kept_runs=conf.kept_runs,
        ),
        disabled_by=Path(conf.healthcheck.disable_by_file_path),
        seconds=time.monotonic,
        sightings=NoSightings() if metrics is None else SharedSightings(metrics / SIGHTINGS),
    )
    application: WSGIApplication = app
    if strategy == "keystone":
        application = PublicPaths(app, _token_required(app, conf), PUBLIC_ROUTES)
    if conf.oslo_middleware.enable_proxy_headers_parsing:
        application = ProxyHeaders(application)
    application = RequestId(application, lambda: str(uuid.uuid4()))
    if meters is not None:
        application = MeasuredRequests(application, meters, time.perf_counter)
    return application


def metrics_page_from(
    conf: cfg.ConfigOpts, store: DocumentStore, folder: Path, started_at: float
) -> "WSGIApplication":
    """The page with the numbers of all workers; `started_at`, in epoch seconds, is the service's."""
    cache = FleetCache(
        folder,
        lambda: read_fleet(store, conf.metrics.max_series),
        refresh_seconds=conf.metrics.refresh_seconds,
    )
    return MetricsPage(
        cache=cache,
        sightings=SharedSightings(folder / SIGHTINGS),
        store_is_ready=store.ready,
        started_at=started_at,
    )


def _token_required(application: "WSGIApplication", conf: cfg.ConfigOpts) -> "WSGIApplication":
    # The import takes half a second, which a service without Keystone need not wait.
    from keystonemiddleware.auth_token import AuthProtocol  # noqa: PLC0415

    from freezer_api.identity.keystone_trusts import LibraryFailure  # noqa: PLC0415 - see _trusts

    return ReadableRefusals(
        application,
        lambda admitted: AuthProtocol(admitted, {"oslo_config_config": conf}),
        failure=LibraryFailure,
    )


def login_objection(conf: cfg.ConfigOpts) -> str | None:
    """Why the service itself cannot log in as configured; None if it may try, or need not."""
    if conf.auth_strategy != "keystone":
        return None
    from freezer_api.identity.keystone_trusts import objection_to  # noqa: PLC0415 - see _trusts

    return objection_to(conf, "keystone_authtoken")


def _trusts(conf: cfg.ConfigOpts) -> Trusts:
    if conf.auth_strategy != "keystone":
        return NoTrusts()
    central = conf.centralized_scheduler
    # Keystone's library takes a quarter of a second, which a service without it need not wait.
    from freezer_api.identity.keystone_trusts import KeystoneTrusts  # noqa: PLC0415

    return KeystoneTrusts(conf, section=central.auth_section, roles=central.trusts_delegated_roles)


def portable_store_at(address: str, conf: cfg.ConfigOpts) -> PortableStore:
    """The store at the address, for moving documents; not connected yet.

    `configured`, `elasticsearch` (of the options), `http[s]://[USER:PASSWORD@]HOST:PORT[/PREFIX]`
    of a cluster for which the options say the rest, or the SQLAlchemy URL of a database. Raises
    StoreUnavailable.
    """
    if address == "configured":
        return _STORES[conf.storage.backend](conf)
    if address == "elasticsearch":
        return _elasticsearch_store(conf)
    if address.startswith(("http://", "https://")):
        return _elasticsearch_store(conf, address=address)
    from freezer_api.store.sql import SqlStore  # noqa: PLC0415 - the library may not be installed

    return SqlStore(address)


def store_from(conf: cfg.ConfigOpts, freshness: Freshness | None = None) -> ManagedStore:
    """The store that the options name; not connected yet. Raises StoreUnavailable for wrong options.

    `freshness` is what this store knows in common with all others of the same service.
    """
    if conf.storage.backend == "elasticsearch":
        return _elasticsearch_store(conf, freshness)
    return _STORES[conf.storage.backend](conf)


def freshness_from(folder: Path | None = None) -> Freshness:
    """Make it for this process and those that are forked from it, or for all that have the folder."""
    file = None if folder is None else folder / FRESHNESS
    return Freshness(lambda: uuid.uuid4().int >> 64, file=file)


def new_id() -> str:
    """An id for a new document: 32 hexadecimal digits of chance."""
    return uuid.uuid4().hex


def _sql_store(conf: cfg.ConfigOpts) -> PortableStore:
    from freezer_api.store.sql import SqlStore  # noqa: PLC0415 - the library may not be installed

    if conf.sql.connection == sql.DEFAULT_CONNECTION:
        _require_writable(Path(sql.DEFAULT_FILE))
    return SqlStore(conf.sql.connection)


def _require_writable(database: Path) -> None:
    """Tell a user for whom the default place is not made what to do. Raises StoreUnavailable."""
    # A folder that this user may not enter hides whether anything is in it.
    visible = (path for path in (database, *database.parents) if os.access(path, os.F_OK))
    if not os.access(next(visible, database), os.W_OK):
        raise StoreUnavailable(
            f"The default database {database} cannot be written by this user. Name another file "
            "with connection = sqlite:////ABSOLUTE/PATH in section [sql] of the configuration "
            "file, or be the user for whom the service is installed"
        )


def _elasticsearch_store(
    conf: cfg.ConfigOpts, freshness: Freshness | None = None, address: str | None = None
) -> PortableStore:
    # The library may not be installed, and takes a quarter of a second to import.
    from freezer_api.store.elasticsearch import ElasticsearchStore  # noqa: PLC0415

    options = conf.elasticsearch
    index_prefix, cluster = options.index_prefix, _cluster_of(options)
    if address is not None:
        prefix, cluster = _cluster_at(address, cluster)
        index_prefix = prefix or index_prefix
    return ElasticsearchStore(
        cluster,
        index_prefix=index_prefix,
        replicas=options.number_of_replicas,
        clock=utc_now,
        new_id=new_id,
        freshness=freshness,
    )


def _cluster_of(options: cfg.ConfigOpts.GroupAttr) -> "Cluster":
    from freezer_api.store.elasticsearch import Cluster  # noqa: PLC0415

    username, password = options.username, options.password
    if options.http_auth and not username:
        username, _, password = options.http_auth.partition(":")
    if options.api_key and username:
        raise StoreUnavailable(
            "[elasticsearch] holds both an api_key and a user name: give one of them"
        )
    return Cluster(
        hosts=tuple(options.hosts),
        username=username,
        password=password,
        api_key=options.api_key,
        ca_certs=options.ca_certs,
        verify_certs=options.verify_certs,
        timeout_seconds=options.timeout,
        retries=options.retries,
    )


def _cluster_at(address: str, like: "Cluster") -> tuple[str, "Cluster"]:
    """The prefix of the indices, if the address names one, and the cluster there."""
    parts = urlsplit(address)
    prefix = parts.path.strip("/")
    _, _, place = parts.netloc.rpartition("@")
    cluster = replace(like, hosts=(f"{parts.scheme}://{place}",))
    if parts.username is not None:
        name, password = unquote(parts.username), unquote(parts.password or "")
        cluster = replace(cluster, username=name, password=password, api_key=None)
    return prefix, cluster


_STORES: dict[str, Callable[[cfg.ConfigOpts], PortableStore]] = {
    "sql": _sql_store,
    "sqlalchemy": _sql_store,
    "elasticsearch": _elasticsearch_store,
}
