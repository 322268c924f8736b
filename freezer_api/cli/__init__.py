"""The commands of the API: serve, manage, status."""
