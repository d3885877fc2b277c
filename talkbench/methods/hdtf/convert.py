"""The authors' G_vid checkpoint, and state dicts of G_ani in the same style, as our networks' variables.

The published file is a dict with the weights under `state_dict` -> `net_g`; keys carry the `module.` of a data-parallel
wrapper and two older names. Sizes are read from the shapes, so a checkpoint of any size gives networks that fit it.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from talkbench.methods.hdtf.animation_networks import AnimationDiscriminator, AnimationGenerator
from talkbench.methods.hdtf.video_networks import VideoGenerator
from talkbench.nn.resize import gaussian_kernel
from talkbench.weights.torch_layout import CheckpointError, abstract_variables, agree, convert, strip_module

RENAMES = (("dense_motion", "foreground_matting"), ("attention_mask", "matting_mask"))
_IGNORE = (r"foreground_matting\.down_sample_(image|flow)\.weight",)  # Gaussian kernels, constants
_SPECIFIC = ("colour_order", "align_corners", "flow_padding", "dtype")  # what weights do not show


class Part(NamedTuple):
    """A network and its variables {"params": ..., "batch_stats": ...}."""

    network: nn.Module
    variables: dict


def load(checkpoint: Mapping[str, Any], network: VideoGenerator | None = None) -> Part:
    """G_vid of a checkpoint file.

    Args:
        checkpoint: what the file held: nested (`state_dict` -> `net_g`, `net_g`) or the bare state dict.
        network: the configuration's network; None takes the checkpoint's own sizes and the published settings: BGR
            weights, align_corners, zeros around the flow.

    Raises:
        CheckpointError: naming what is missing or differs.
    """
    state: Mapping[str, Any] = checkpoint
    for name in ("state_dict", "net_g"):
        if isinstance(state.get(name), Mapping):
            state = state[name]
    return load_part("video_generator", state, network or VideoGenerator(colour_order="bgr"), network is None)


def load_part(
    part: str, state_dict: Mapping[str, Any], network: nn.Module | None = None, resize: bool = False
) -> Part:
    """One network's published state dict.

    Args:
        part: "video_generator", "animation_generator" or "animation_discriminator".
        network: None: sizes are read from the checkpoint.
        resize: take the sizes from the checkpoint and everything else from `network`.

    Raises:
        CheckpointError: naming what is missing or differs.
    """
    state_dict = strip_module(state_dict)
    for old, new in RENAMES:
        state_dict = {key.replace(old, new): value for key, value in state_dict.items()}
    try:
        found = _READERS[part](state_dict)
    except (KeyError, IndexError, ValueError) as error:
        some = ", ".join(list(state_dict)[:3]) or "nothing"
        reason = str(error).strip("'")
        raise CheckpointError(f"no {part} of HDTF ({reason}); it holds {some}") from None
    if network is None:
        network = found
    elif resize:
        network = found.clone(
            **{name: getattr(network, name) for name in _SPECIFIC if hasattr(network, name)}
        )
    else:
        agree(f"the checkpoint's {part}", found, network, _COUNTS[part])
    abstract = abstract_variables(network.init, *example_shapes(network, state_dict))
    return Part(network, convert(state_dict, abstract, ignore=_IGNORE, name=f"the {part}"))


def example_shapes(network: nn.Module, state_dict: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    """Shapes of the smallest inputs that initialise a network."""
    if isinstance(network, VideoGenerator):
        side = 2 ** (network.num_down_blocks + network.hourglass_blocks)
        return ((1, side, side, network.image_channels), (1, side, side, 2))
    if isinstance(network, AnimationGenerator):
        identity = _width(state_dict, "adain.0.fc1.weight", 1)
        length = 2**network.temporal_blocks
        return ((1, length, _width(state_dict, "audio_in.weight", 1)), (1, identity))
    length, parameters = 2**network.num_down, _width(state_dict, "conv_out.weight")
    return ((1, length, parameters), (1, length, _width(state_dict, "conv_in.weight", 1) - parameters))


def _count(state_dict: Mapping[str, Any], name: str) -> int:
    """Number of layers `name`.0, `name`.1, ..."""
    pattern = re.compile(re.escape(name) + r"\.(\d+)\.")
    return len({m.group(1) for key in state_dict if (m := pattern.match(key))})


def _width(state_dict: Mapping[str, Any], key: str, axis: int = 0) -> int:
    if key not in state_dict:
        raise KeyError(f"no {key}")
    return int(np.shape(state_dict[key])[axis])


def _read_video(s: Mapping[str, Any]) -> VideoGenerator:
    downs = _count(s, "encoder.down_blocks")
    matting = "foreground_matting."
    hourglass = f"{matting}hourglass.encoder.down_blocks"
    levels = _count(s, hourglass)
    for name in ("image", "flow"):
        key = f"{matting}down_sample_{name}.weight"
        if key in s and _width(s, key, -1) != len(gaussian_kernel(0.5**downs)):
            raise ValueError(f"{key} has {_width(s, key, -1)} taps, which does not fit {downs} halvings")
    return VideoGenerator(
        block_expansion=_width(s, "encoder.in_conv.conv.weight"),
        num_down_blocks=downs,
        max_features=_width(s, f"encoder.down_blocks.{downs - 1}.conv.weight"),
        hourglass_expansion=_width(s, f"{matting}hourglass.decoder.up_blocks.{levels - 1}.conv.weight"),
        hourglass_blocks=levels,
        hourglass_max_features=_width(s, f"{hourglass}.{levels - 1}.conv.weight"),
        num_bottleneck_blocks=_count(s, "bottleneck.bottleneck"),
        image_channels=_width(s, "encoder.in_conv.conv.weight", 1),
    )


def _read_animation(s: Mapping[str, Any]) -> AnimationGenerator:
    return AnimationGenerator(
        features=_width(s, "audio_in.weight"),
        extractor_blocks=_count(s, "extractor"),
        style_blocks=_count(s, "adain"),
        mouth_blocks=_count(s, "mouth"),
        temporal_blocks=_count(s, "down"),
        num_mouth=_width(s, "mouth_out.weight"),
        num_eyebrow=_width(s, "eyebrow_out.weight"),
        num_head=_width(s, "head_out.weight"),
    )


def _read_discriminator(s: Mapping[str, Any]) -> AnimationDiscriminator:
    return AnimationDiscriminator(_width(s, "conv_in.weight"), _count(s, "down"), _count(s, "same"))


_READERS = {
    "video_generator": _read_video,
    "animation_generator": _read_animation,
    "animation_discriminator": _read_discriminator,
}
_COUNTS = {
    "video_generator": ("block_expansion", "num_down_blocks", "hourglass_blocks", "num_bottleneck_blocks"),
    "animation_generator": (
        "features",
        "extractor_blocks",
        "style_blocks",
        "mouth_blocks",
        "temporal_blocks",
        "num_mouth",
        "num_eyebrow",
        "num_head",
    ),
    "animation_discriminator": ("features", "num_down", "num_same"),
}
