"""PC-AVS's published checkpoints as weights of the method."""

import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from talkbench.methods.pcavs import convert
from talkbench.methods.pcavs.modules import modules, side

_NEEDED = ("E", "V", "A_sync", "G")


def published(config: ConfigDict, contents: Mapping[str, Any]) -> dict:
    """{"generator": generator side} of `latest_net_E.pth`, `..._V.pth`, `..._A_sync.pth` and `..._G.pth`.

    Args:
        contents: {file name: state dict}; the name tells which network it is, as in the published loader.

    Raises:
        CheckpointError: a file of another name, one that is missing or not the config's network.
    """
    states = {}
    for name, state in contents.items():
        match = re.search(r"net_(A_sync|[EVGD])\.[^/]*$", name)
        if not match:
            raise convert.CheckpointError(f"{name}: which network? name it as published, latest_net_E.pth")
        states[match.group(1)] = state
    states.pop("D", None)
    parts = convert.load(states, modules(config), _NEEDED)
    return {"generator": side({name: part.variables for name, part in parts.items()})}
