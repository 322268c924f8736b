"""JSON schemas, one per resource."""
