"""The agent: moves the bytes of a backup. Works alone from the command line."""
