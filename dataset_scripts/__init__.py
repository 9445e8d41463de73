"""Rows flow through numbered stages into a published mixture."""
