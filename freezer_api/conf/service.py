"""[DEFAULT] How the service listens, who may call it, and how much one call may ask."""

from oslo_config import cfg

GROUP = None

OPTIONS = [
    cfg.HostAddressOpt(
        "bind-host",
        default="0.0.0.0",  # noqa: S104 - a service of a cloud is reached from other hosts
        help="Address on which freezer-api listens. With auth_strategy = noauth only a loopback "
        "address is taken, which then is also the default.",
    ),
    cfg.PortOpt("bind-port", default=9090, help="TCP port on which freezer-api listens."),
    cfg.StrOpt(
        "auth_strategy",
        default="keystone",
        choices=[
            ("keystone", "Each request carries a token, which Keystone confirms."),
            (
                "noauth",
                (
                    "Each request is believed: the caller is whom the headers X-Project-Id, "
                    "X-User-Id and X-Roles name, else an administrator. For one machine and tests."
                ),
            ),
        ],
        help="How callers prove who they are.",
    ),
    cfg.IntOpt(
        "workers",
        min=1,
        max=512,
        help="Processes that answer requests. Default: the number of processors, at least 2.",
    ),
    cfg.IntOpt(
        "threads",
        default=8,
        min=1,
        max=512,
        help="Requests that one worker process answers at the same time.",
    ),
    cfg.IntOpt(
        "graceful_timeout",
        default=30,
        min=0,
        help="Seconds that running requests get to end when the service stops.",
    ),
    cfg.IntOpt(
        "worker_timeout",
        default=60,
        min=1,
        help="Seconds after which a worker process that does not react is replaced.",
    ),
    cfg.BoolOpt(
        "access-log", default=False, help="Write one line for each request to standard output."
    ),
    cfg.IntOpt(
        "max_limit",
        default=10_000,
        min=100,
        max=100_000,
        help="The longest page of a list. A larger limit in a request counts as this one.",
    ),
    cfg.IntOpt(
        "max_body_bytes",
        default=1024 * 1024,
        min=1024,
        help="The largest body of a request, in bytes; larger ones are answered with 413.",
    ),
    cfg.IntOpt(
        "max_nesting",
        default=32,
        min=8,
        max=48,
        help="How deep objects and lists of a request's body may be nested; deeper ones are "
        "answered with 400.",
    ),
    cfg.IntOpt(
        "kept_runs",
        default=100,
        min=1,
        max=10_000,
        help="How many runs of each job stay in its history; older ones are removed.",
    ),
]
