"""Which backups exist, and which to use."""
