"""The client library of Swift, without the library for Keystone that it would load beside it.

Logging in at Keystone is done with keystoneauth1, see `swift_account`. Where python-keystoneclient
is installed (the API needs it), swiftclient loads that too: half a second and 9 MiB in every run.
"""

from freezer_agent.storages.optional_imports import without

with without("keystoneclient"):
    import swiftclient.client as swift
    from swiftclient.exceptions import ClientException

__all__ = ["ClientException", "swift"]
