"""May this node run this job? Pure, but for the paths that a node policy looks at."""

from collections.abc import Mapping, Sequence
from typing import Any

from freezer_model.client import find_unsupported
from freezer_model.job import Job
from freezer_scheduler.agent_process import option_name
from freezer_scheduler.node_policy import ANYTHING, NodePolicy

_DEFAULTS = {"action": "backup", "mode": "fs"}
_DEFAULTS_WITH_DATA = {"storage": "swift", "engine_name": "tar"}


_HOSTS_OWN = frozenset(
    {
        "config",
        "ftp_certfile",
        "ftp_keyfile",
        "log_config_append",
        "log_dir",
        "lvm_dirmount",
        "metadata_out",
        "mysql_conf",
        "os_trust_id",
        "osrc",
        "sql_server_conf",
        "ssh_key",
        "ssh_known_hosts",
    }
)
"""Options that, beside all those called ..._file, name files of the host on which the agent runs, or
another user's trust. They are for whoever owns the host: not the users of a central scheduler."""


def refusal(
    job: Job,
    capabilities: Mapping[str, Sequence[str]],
    *,
    disable_exec: bool,
    central: bool = False,
    policy: NodePolicy = ANYTHING,
) -> str | None:
    """Why the node does not run the job, None if it does.

    What an action leaves out is what the agent would take: a backup that names no storage asks for
    swift. A `central` node runs jobs of users who have no right to the host itself.
    """
    if central and not job.trust_id:
        return (
            "the job has no trust of its user, so the central scheduler cannot act for him. Create "
            "the job anew, as a member of the project and not with an application credential"
        )
    for action in job.actions:
        wanted = _completed(action.freezer_action)
        named = [key for key in sorted(wanted) if key in _HOSTS_OWN or key.endswith("_file")]
        if central and named:
            return f"a job of the central scheduler cannot set {', '.join(named)}"
        if disable_exec and wanted["action"].lower() == "exec":
            return "this node runs no exec actions (disable_exec)"
        if reason := policy.refusal(action.freezer_action):
            return reason
        if missing := find_unsupported(capabilities, wanted):
            return f"this node does not support {missing.kind}: {missing.value}"
    return None


def _completed(freezer_action: Mapping[str, Any]) -> dict[str, Any]:
    given = {
        option_name(key): _as_read(value)
        for key, value in freezer_action.items()
        if value not in (None, "", [])
    }
    if given.get("action") == "exec":
        return given  # It has neither mode nor storage.
    completed: dict[str, Any] = _DEFAULTS | given
    if "engine" in given:
        completed.setdefault("engine_name", given["engine"])
    return _DEFAULTS_WITH_DATA | completed


def _as_read(value: Any) -> str:
    """What reaches the agent: a list of one word, or a word with blanks, is that word to it."""
    words = value if isinstance(value, (list, tuple)) else [value]
    return "\n".join(str(word) for word in words if word is not None).strip()
