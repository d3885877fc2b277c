"""Metrics as pure functions on arrays; no network, no file."""
