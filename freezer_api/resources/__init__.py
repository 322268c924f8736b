"""Falcon classes, one module per resource."""
