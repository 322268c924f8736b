"""Make and consume the byte stream of one kind of source."""
