"""Features that this release lacks: refused where they are asked for, never passed over.

A job file keeps the options of its backup when it turns to a restore or a removal: what only
matters while a backup is made is passed over there, as it always was.
"""

from freezer_agent.conf.options import Options

_LOOKING = frozenset({"info", "list", "exec"})
_QUIETING_MODES = frozenset({"mysql", "mongo", "sqlserver"})
_BACKUP_ONLY = {
    "snapshot": "snapshots of the file system",
    "lvm_srcvol": "LVM snapshots",
    "lvm_volgroup": "LVM snapshots",
    "lvm_auto_snap": "LVM snapshots",
    "lvm_snapname": "LVM snapshots",
    "lvm_dirmount": "LVM snapshots",
    "mysql_conf": "backing up MySQL",
    "sql_server_conf": "backing up SQL Server",
}
_RESOURCES = {
    "nova_inst_id": "backing up and restoring servers",
    "nova_inst_name": "backing up and restoring servers",
    "cinder_vol_id": "backing up and restoring volumes",
    "cinder_vol_name": "backing up and restoring volumes",
    "cinderbrick_vol_id": "backing up and restoring volumes",
    "cindernative_vol_id": "backing up and restoring volumes",
    "cindernative_backup_id": "backing up and restoring volumes",
    "glance_image_id": "backing up and restoring images",
    "glance_image_name": "backing up and restoring images",
    "glance_image_name_filter": "backing up and restoring images",
}


def later_features(options: Options) -> list[str]:
    """A reason against each thing that the action would need and this release does not have."""
    action, mode, engine = options["action"], options["mode"], options["engine_name"]
    if action in _LOOKING:
        return []
    reasons = []
    if mode != "fs" and (action == "backup" or mode not in _QUIETING_MODES):
        reasons.append(_reason(f"mode {mode}", "--mode fs backs up files"))
    if engine != "tar":
        reasons.append(_reason(f"engine {engine}", "--engine tar backs up files"))
    named = _RESOURCES | (_BACKUP_ONLY if action == "backup" else {})
    for name, feature in named.items():
        if options[name]:
            what = f"{feature} (--{name.replace('_', '-')})"
            reasons.append(_reason(what, "leave the option out"))
    return reasons


def _reason(feature: str, remedy: str) -> str:
    return f"not in this release of the agent: {feature}; {remedy}"
