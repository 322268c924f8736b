"""The use cases, without a word of HTTP or database."""
