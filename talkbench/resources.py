"""Where the files that travel with talkbench are: configs, protocols and committed tables."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `configs`, `evals` or `leaderboards`: in an installed wheel inside the package, else in the checkout."""
    inside = PACKAGE / "_share" / name
    return inside if inside.is_dir() else PACKAGE.parent / name
