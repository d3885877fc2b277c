"""The five talking-face methods."""
