"""Readers, registry, converters and golden files of network weights."""
