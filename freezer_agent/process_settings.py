"""What a run changes about its own process: its priority, and the proxy of its HTTP requests."""

import logging
import os
from collections.abc import MutableMapping

from freezer_agent.errors import AgentError
from freezer_agent.processes import run

log = logging.getLogger(__name__)

_HIGHEST = -19
_PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy")


def raise_priority() -> None:
    """Run, with all children, before everything else: CPU and disks.

    It takes rights that not every user has. Without them a warning is logged and nothing changes.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _HIGHEST)
        run(["ionice", "-c1", "-n0", "-p", str(os.getpid())])
    except (OSError, AgentError) as error:
        log.warning("--max-priority: the priority could not be raised: %s", error)


def use_proxy(environment: MutableMapping[str, str], proxy: str | None) -> None:
    """Have every HTTP library take this proxy; "" is none at all, None leaves things as they are.

    The libraries read both cases of the variables, each in its own order of preference.
    """
    if proxy is None:
        return
    for name in _PROXY_NAMES:
        environment.pop(name, None)
        environment.pop(name.upper(), None)
    if not proxy:
        return
    for name in ("http_proxy", "https_proxy"):
        environment[name] = environment[name.upper()] = proxy
