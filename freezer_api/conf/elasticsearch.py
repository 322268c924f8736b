"""[elasticsearch] The cluster of the elasticsearch backend."""

from oslo_config import cfg
from oslo_config.types import URI

GROUP = "elasticsearch"

OPTIONS = [
    cfg.ListOpt(
        "hosts",
        default=["http://127.0.0.1:9200"],
        item_type=URI(schemes=["http", "https"]),
        help="Nodes of the cluster. A call that one node does not answer is tried on the next.",
    ),
    cfg.StrOpt(
        "index_prefix",
        default="freezer",
        regex=r"^[a-z0-9][a-z0-9_.-]{0,99}$",
        deprecated_name="index",
        help="First part of the names of the indices, in small letters.",
    ),
    cfg.StrOpt("username", help="User name, where the cluster asks for one."),
    cfg.StrOpt("password", secret=True, help="Password of the user."),
    cfg.StrOpt(
        "http_auth",
        secret=True,
        deprecated_for_removal=True,
        deprecated_since="20.0.0",
        deprecated_reason="Use username and password.",
        help="User name and password, with a colon between them.",
    ),
    cfg.StrOpt("api_key", secret=True, help="API key in its encoded form, instead of a user."),
    cfg.StrOpt("ca_certs", help="File with the certificates of the authorities to trust."),
    cfg.BoolOpt(
        "verify_certs",
        default=True,
        help="Whether the certificates of the nodes are checked. Switch it off for tests only.",
    ),
    cfg.FloatOpt(
        "timeout", default=15, min=0.1, help="Seconds that one attempt of a call may take."
    ),
    cfg.IntOpt(
        "retries",
        default=8,
        min=0,
        max=100,
        help="How often a call is tried again when a node does not answer or has too much to do: "
        "at once on another node, else after a pause of 0.1 seconds that doubles up to 2.",
    ),
    cfg.IntOpt(
        "number_of_replicas",
        min=0,
        max=20,
        help="Copies of each document beside the first. Default: one as soon as there are two "
        "nodes. Takes effect when `freezer-manage db sync` makes the indices.",
    ),
]
