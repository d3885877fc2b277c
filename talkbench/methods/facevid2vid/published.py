"""A published face-vid2vid checkpoint as weights of the method."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from talkbench.methods.facevid2vid import convert
from talkbench.methods.facevid2vid.method import networks

_PARTS = {"generator": "generator", "kp_detector": "keypoint_detector", "he_estimator": "estimator"}


def published(config: ConfigDict, contents: Mapping[str, Any]) -> dict:
    """{"video": generator side} of the one file that holds all networks (vox-256 and its kin).

    Args:
        contents: {file name: what it held}.

    Raises:
        CheckpointError: it lacks a network, or one is not the config's.
    """
    if len(contents) != 1:
        raise convert.CheckpointError(f"{len(contents)} files: face-vid2vid's networks are published in one")
    (content,) = contents.values()
    nets = networks(config)
    states = {part: state for part, state in convert.split(content).items() if part in _PARTS}
    parts = convert.load(states, {theirs: nets[ours] for theirs, ours in _PARTS.items()}, need=_PARTS)
    made = {ours: parts[theirs].variables for theirs, ours in _PARTS.items()}
    return {
        "video": {
            "params": {name: variables["params"] for name, variables in made.items()},
            "stats": {name: variables.get("batch_stats", {}) for name, variables in made.items()},
        }
    }
