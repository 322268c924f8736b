"""The SSH library, without the command runner that it would load beside it.

Paramiko wants invoke for commands in the user's SSH configuration, which is not read here. It
brings unittest and asyncio along: 6 MiB and a tenth of a second in every run.
"""

from freezer_agent.storages.optional_imports import without

with without("invoke"):
    import paramiko

__all__ = ["paramiko"]
