"""Options that narrow down which jobs this node runs."""

from oslo_config import cfg, types

from freezer_model.client import ACTIONS, CAPABILITIES, ENGINES, MODES, STORAGES

SECTION = "capabilities"
TITLE = "Capabilities"

_WHAT = {
    "supported_actions": "actions",
    "supported_modes": "modes",
    "supported_storages": "storages",
    "supported_engines": "engines",
}

OF_CENTRAL: dict[str, tuple[str, ...]] = {
    "supported_actions": tuple(word for word in ACTIONS if word != "exec"),
    "supported_modes": tuple(
        word for word in MODES if word not in {"fs", "mongo", "mysql", "sqlserver"}
    ),
    "supported_storages": tuple(word for word in STORAGES if word != "local"),
    "supported_engines": ENGINES,
}
"""The default of a central scheduler: nothing that runs commands on its host, or reads its files."""

_LEFT_OUT = {
    name: f", for a central scheduler all but {', '.join(left_out)}"
    for name, every in CAPABILITIES.items()
    if (left_out := [word for word in every if word not in OF_CENTRAL[name]])
}


def _option(name: str) -> cfg.Opt:
    every = CAPABILITIES[name]
    return cfg.Opt(
        name.replace("_", "-"),
        type=types.List(item_type=types.String(choices=every)),
        default=list(every),
        metavar="NAME,NAME",
        help=f"The {_WHAT[name]} that jobs may ask this node for: {', '.join(every)}. "
        f"Default is all of them{_LEFT_OUT.get(name, '')}.",
    )


OPTIONS = tuple(_option(name) for name in CAPABILITIES)
