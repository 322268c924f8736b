"""The options of the scheduler: one module per subject; what they come to is a Settings value."""

from freezer_scheduler.conf.loading import Surroundings, load, settle
from freezer_scheduler.conf.settings import LogChoice, Settings, SettingsInvalid
from freezer_scheduler.conf.spellings import list_opts

__all__ = [
    "LogChoice",
    "Settings",
    "SettingsInvalid",
    "Surroundings",
    "list_opts",
    "load",
    "settle",
]
