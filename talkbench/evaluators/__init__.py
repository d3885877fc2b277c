"""Frozen judges: networks that metrics look through."""
