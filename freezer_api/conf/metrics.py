"""[metrics] What the service tells Prometheus, on an address of its own."""

from oslo_config import cfg

GROUP = "metrics"

OPTIONS = [
    cfg.HostAddressOpt(
        "bind_host",
        default="127.0.0.1",
        help="Address of /metrics. Whoever reaches it learns, without a token, the ids of all "
        "projects, clients and jobs: keep it on the loopback or in a network of the operator.",
    ),
    cfg.PortOpt(
        "bind_port",
        help="TCP port of /metrics. Default: none, which switches metrics off. Takes effect with "
        "a start, not with a reload.",
    ),
    cfg.FloatOpt(
        "refresh_seconds",
        default=60,
        min=1,
        help="How old the numbers about jobs and clients may grow before a scrape reads them "
        "again. Reading never takes more than a fiftieth of the time, however large the store.",
    ),
    cfg.IntOpt(
        "max_series",
        default=20_000,
        min=0,
        max=1_000_000,
        help="For how many jobs, and for how many clients, there are series of their own. Those "
        "beyond are counted in freezer_series_left_out.",
    ),
]
