"""Stages over iterators of bytes: compression, encryption, hand-over."""
