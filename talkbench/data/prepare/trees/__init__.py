"""Readers of data set layouts: from a source folder to a `Listing`."""

from importlib import import_module
from pathlib import Path

from talkbench.data.prepare.units import Listing, TreeError


def read(dataset: str, source: Path) -> Listing:
    """The files of a data set (a name of `prepare.DATASETS`) below `source`.

    Raises:
        TreeError: they are not as the data set's layout says.
    """
    if not Path(source).is_dir():
        raise TreeError(f"--source {source}: no such folder")
    tree = import_module(f"talkbench.data.prepare.trees.{dataset.replace('-', '_')}")
    listing = tree.read(Path(source))
    if not listing.units:
        missing = f"; none of the {len(listing.missing)} listed clips is there" if listing.missing else ""
        raise TreeError(f"--source {source}: no files to prepare{missing}")
    return listing
