"""Clips: sources, storage, features, loader."""
