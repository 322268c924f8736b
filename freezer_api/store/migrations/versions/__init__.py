"""One module for each schema version: `upgrade` brings the tables and their rows to it.

A step is frozen once released: it names the tables as they were, never the program's own tables
of today. Where the database cannot undo a definition (MariaDB), a step that was killed is run
again, so every part of one must bear that.
"""
