"""What the service tells Prometheus: how it answers, and how the backups of the fleet stand."""
