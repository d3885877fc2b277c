"""The authors' G_vid as weights of the method."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from talkbench.methods.hdtf import convert
from talkbench.methods.hdtf.video_stage import network


def published(config: ConfigDict, contents: Mapping[str, Any]) -> dict:
    """{"video": generator side}; G_ani was never released, so such weights follow mesh coefficients only.

    The published network sees BGR pictures (`model.video.colour_order` is set).

    Args:
        contents: {file name: what it held}.

    Raises:
        CheckpointError: it is not the config's network.
    """
    if len(contents) != 1:
        raise convert.CheckpointError(f"{len(contents)} files: of HDTF one network, G_vid, was published")
    (content,) = contents.values()
    config.model.video.colour_order = "bgr"
    part = convert.load(content, network(config))
    return {
        "video": {
            "params": {"video": part.variables["params"]}, "stats": {"video": part.variables.get("batch_stats", {})},
        }
    }  # fmt: skip
