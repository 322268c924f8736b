"""The words that API, scheduler and agent exchange. Standard library only, no I/O."""
