"""Readers of data set layouts: from a source folder to a `Listing`; `TREES` names them."""

from collections.abc import Callable
from pathlib import Path

from talkbench.data.prepare.trees import folder
from talkbench.data.prepare.units import Listing, TreeError

TREES: dict[str, Callable[[Path], Listing]] = {"folder": folder.read}


def read(dataset: str, source: Path) -> Listing:
    """The files of a data set below `source`; TreeError if they are not as its layout says."""
    if not Path(source).is_dir():
        raise TreeError(f"--source {source}: no such folder")
    return TREES[dataset](Path(source))
