"""The document store: one protocol, several implementations."""
