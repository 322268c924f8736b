"""How a database of an earlier release becomes one of this release, step by step.

`versions` holds one module for each schema version; `sql_upgrade` runs them.
"""
