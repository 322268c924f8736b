"""Options that narrow down which jobs this node runs."""

from oslo_config import cfg, types

from freezer_model.client import CAPABILITIES

SECTION = "capabilities"
TITLE = "Capabilities"

_WHAT = {
    "supported_actions": "actions",
    "supported_modes": "modes",
    "supported_storages": "storages",
    "supported_engines": "engines",
}


def _option(name: str) -> cfg.Opt:
    every = CAPABILITIES[name]
    return cfg.Opt(
        name.replace("_", "-"),
        type=types.List(item_type=types.String(choices=every)),
        default=list(every),
        metavar="NAME,NAME",
        help=f"The {_WHAT[name]} that jobs may ask this node for: {', '.join(every)}. "
        "Default is all of them.",
    )


OPTIONS = tuple(_option(name) for name in CAPABILITIES)
