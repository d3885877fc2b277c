"""The talking-face methods: name -> where it is, resolved on use; others add theirs by the entry point `talkbench.methods`."""

import importlib
from importlib.metadata import entry_points

METHODS = {
    "facevid2vid": "talkbench.methods.facevid2vid.method:METHOD",
    "atvgnet": "talkbench.methods.atvgnet.method:METHOD",
    "pcavs": "talkbench.methods.pcavs.method:METHOD",
    "hdtf": "talkbench.methods.hdtf.method:METHOD",
    "makeittalk": "talkbench.methods.makeittalk.method:METHOD",
}


def names() -> list[str]:
    """Names of all methods, the package's own first."""
    return [
        *METHODS,
        *sorted(point.name for point in entry_points(group="talkbench.methods") if point.name not in METHODS),
    ]


def load(name: str):
    """The `Method` called `name`.

    Raises:
        ValueError: no such method (the message has the nearest one).
    """
    path = METHODS.get(name)
    if path is None:
        for point in entry_points(group="talkbench.methods"):
            if point.name == name:
                return point.load()
        from talkbench.config import nearest

        raise ValueError(f"no method {name!r}: {nearest(name, names())}")
    module, attribute = path.split(":")
    return getattr(importlib.import_module(module), attribute)
