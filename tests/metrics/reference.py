"""The golden file `metrics.npz` and its reader, which lie beside a developer's checkout and not in it."""

import importlib.util
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve()


def folder() -> Path | None:
    """`shared/golden` in or beside one of the checkout's parent folders."""
    for parent in _HERE.parents[2:]:
        for place in (parent / "shared" / "golden", parent.parent / "shared" / "golden"):
            if (place / "load.py").exists():
                return place
    return None


def golden(name: str):
    """The golden file, or the test is skipped because it isn't there."""
    place = folder()
    if place is None or not (place / name).exists():
        pytest.skip(
            f"no shared/golden/{name} beside this checkout; `talkbench verify --golden FILE` checks it too"
        )
    spec = importlib.util.spec_from_file_location("shared_golden_load", place / "load.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.load(place / name)
