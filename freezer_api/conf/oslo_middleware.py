"""[oslo_middleware] What is believed of a proxy. The names are those of the oslo.middleware library."""

from oslo_config import cfg

GROUP = "oslo_middleware"

OPTIONS = [
    cfg.BoolOpt(
        "enable_proxy_headers_parsing",
        default=False,
        help="Whether the headers Forwarded, X-Forwarded-Proto, X-Forwarded-Host and "
        "X-Forwarded-Prefix are believed. Switch it on behind a proxy that sets them, and only "
        "there: otherwise every caller can choose the links that he is given.",
    ),
]
