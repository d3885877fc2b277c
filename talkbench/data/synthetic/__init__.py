"""The embedded benchmark: talking heads that are computed, with exact labels."""
