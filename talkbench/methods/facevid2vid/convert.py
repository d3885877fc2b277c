"""Published face-vid2vid and SadTalker checkpoints as our networks' variables.

Layouts that are understood:

* a dict of state dicts (`generator`, `kp_detector`, `he_estimator`, `discriminator`, beside optimiser states
and `epoch`):
  the vox-256 reimplementation and everything trained with it;
* one flat dict with prefixes `generator.`, `kp_extractor.` among others that are not for us: SadTalker's
.safetensors; * a dict with the state dict `mapping`: SadTalker's mapping network.

Keys may carry the `module.` of a data-parallel wrapper. Sizes are read from the shapes, so a checkpoint of
any size gives networks that fit it; a configuration that says otherwise is refused by name.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from talkbench.methods.facevid2vid.networks import (
    Discriminator,
    Generator,
    HeadExpressionEstimator,
    KeypointDetector,
)
from talkbench.methods.facevid2vid.sadtalker import MappingNet
from talkbench.nn.resize import gaussian_kernel
from talkbench.weights.torch_layout import (
    CheckpointError,
    abstract_variables,
    agree,
    convert,
    strip_module,
    strip_prefix,
)

PARTS = ("generator", "kp_detector", "he_estimator", "discriminator", "mapping")
_SYNONYMS = {"kp_extractor": "kp_detector"}

RULES = {
    "generator": (
        (r"^resblocks_([23])d\.\1dr", r"resblocks_\1d."),
        (r"^decoder\.", "spade_decoder."),  # `decoder` is a field of our generator
    ),
    "kp_detector": (
        (r"^predictor\.(down|up)_blocks\.(?:down|up)(\d+)\.", r"predictor_\1_blocks.\2."),
        (r"^predictor\.conv\.", "predictor_conv."),
    ),
    "he_estimator": ((r"^block(\d)\.b\1_(\d+)\.", r"block\1.\2."),),
    "discriminator": ((r"^discs\.([\d-]+)\.", r"discs_\1."),),
    "mapping": (),
}
_IGNORE = {"kp_detector": (r"down\.weight",)}  # the anti-aliasing kernel, a constant


class Part(NamedTuple):
    """A network and its variables {"params": ..., "batch_stats": ...}."""

    network: nn.Module
    variables: dict


def split(checkpoint: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A checkpoint in any known layout -> {part: state dict}, parts named as in `PARTS`."""
    names = {**{part: part for part in PARTS}, **_SYNONYMS}
    checkpoint = strip_module(checkpoint)
    parts = {}
    for published, part in names.items():
        nested = checkpoint.get(published)
        found = nested if isinstance(nested, Mapping) else strip_prefix(checkpoint, published + ".")
        if found:
            parts[part] = strip_module(found)
    if not parts:
        some = ", ".join(list(checkpoint)[:4]) or "nothing"
        raise CheckpointError(
            f"no face-vid2vid checkpoint: it should hold {', '.join(PARTS[:4])} or kp_extractor, "
            f"and holds {some}"
        )
    return parts


def load(
    checkpoint: Mapping[str, Any], networks: Mapping[str, nn.Module] | None = None, need: Iterable[str] = ()
) -> dict[str, Part]:
    """All parts of a published checkpoint.

    Args:
        checkpoint: what the file held, arrays as numpy (or anything `numpy.asarray` takes).
        networks: {part: network} of the configuration; parts that aren't named take the checkpoint's own
            sizes.
        need: parts that must be there.

    Returns:
        {part: Part}.

    Raises:
        CheckpointError: naming what is missing or differs.
    """
    parts = split(checkpoint)
    missing = [part for part in need if part not in parts]
    if missing:
        raise CheckpointError(f"the checkpoint lacks {', '.join(missing)}; it holds {', '.join(parts)}")
    networks = networks or {}
    return {part: load_part(part, state, networks.get(part)) for part, state in parts.items()}


def load_part(part: str, state_dict: Mapping[str, Any], network: nn.Module | None = None) -> Part:
    """One network's published state dict. `network` None: sizes are read from the checkpoint."""
    state_dict = strip_module(state_dict)
    try:
        found = _READERS[part](state_dict)
    except (KeyError, IndexError, ValueError) as error:
        some = ", ".join(list(state_dict)[:3]) or "nothing"
        raise CheckpointError(f"no {part} of face-vid2vid ({error}); it holds {some}") from None
    network = network or found
    agree(f"the checkpoint's {part}", found, network, _SIZES[part])
    abstract = abstract_variables(network.init, *example_shapes(network, state_dict))
    return Part(network, convert(state_dict, abstract, RULES[part], _IGNORE.get(part, ()), f"the {part}"))


def example_shapes(
    network: nn.Module, state_dict: Mapping[str, Any] | None = None
) -> tuple[tuple[int, ...], ...]:
    """Shapes of the smallest inputs that initialise a network (a mapping network needs its state dict)."""
    if isinstance(network, KeypointDetector):
        side = round(2**network.num_blocks / network.scale_factor)
        return ((1, side, side, 3),)
    if isinstance(network, Generator):
        side = 2 ** (network.num_down_blocks + network.motion_blocks) * network.motion_scale
        keypoints = (1, network.num_keypoints, 3)
        return ((1, side, side, network.image_channels), keypoints, keypoints)
    if isinstance(network, HeadExpressionEstimator):
        return ((1, 64, 64, 3),)
    if isinstance(network, Discriminator):
        side = round(2 ** (network.num_blocks + 3) / min(network.scales))
        return ((1, side, side, 3),)
    if isinstance(network, MappingNet):
        return ((1, 7 + 6 * network.layers, state_dict["first.0.weight"].shape[1]),)
    raise TypeError(f"{type(network).__name__} is no network of face-vid2vid")


def _numbers(state_dict: Mapping[str, Any], pattern: str) -> list[int]:
    """Sorted distinct numbers that the group of `pattern` takes in the keys."""
    found = {int(m.group(1)) for key in state_dict if (m := re.match(pattern, key))}
    return sorted(found)


def _width(state_dict: Mapping[str, Any], key: str, axis: int = 0) -> int:
    if key not in state_dict:
        raise KeyError(f"no {key}")
    return int(np.shape(state_dict[key])[axis])


def _read_generator(s: Mapping[str, Any]) -> Generator:
    spade = any(key.startswith("decoder.") for key in s)
    if not spade and "final.weight" not in s:
        raise KeyError("neither a SPADE decoder nor final.weight")
    downs = len(_numbers(s, r"down_blocks\.(\d+)\."))
    motion = "dense_motion_network."
    levels = len(_numbers(s, rf"{motion}hourglass\.encoder\.down_blocks\.(\d+)\."))
    channels = _width(s, "resblocks_3d.3dr0.conv1.weight")
    sizes: dict[str, Any] = {
        "decoder": "spade" if spade else "plain",
        "num_keypoints": _width(s, motion + "mask.weight") - 1,
        "image_channels": _width(s, "first.conv.weight", 1),
        "block_expansion": _width(s, "first.conv.weight"),
        "max_features": _width(s, f"down_blocks.{downs - 1}.conv.weight"),
        "num_down_blocks": downs,
        "volume_channels": channels,
        "depth": _width(s, "second.weight") // channels,
        "volume_resblocks": len(_numbers(s, r"resblocks_3d\.3dr(\d+)\.")),
        "motion_expansion": _width(s, f"{motion}hourglass.decoder.up_blocks.{levels - 1}.conv.weight"),
        "motion_max_features": _width(s, f"{motion}hourglass.encoder.down_blocks.{levels - 1}.conv.weight"),
        "motion_blocks": levels,
        "compress_channels": _width(s, motion + "compress.weight"),
        "mask_window": _width(s, motion + "mask.weight", -1),
    }
    if not spade:
        sizes["num_resblocks"] = len(_numbers(s, r"resblocks_2d\.2dr(\d+)\."))
    if spade:
        ups = _numbers(s, r"decoder\.up_(\d+)\.")
        sizes["spade_widths"] = (
            _width(s, "decoder.fc.weight"),
            *(_width(s, f"decoder.up_{i}.conv_1.weight_orig") for i in ups),
        )
        sizes["spade_middle"] = len(_numbers(s, r"decoder\.G_middle_(\d+)\."))
        sizes["spade_hidden"] = _width(s, "decoder.up_0.norm_0.mlp_shared.0.weight")
    return Generator(**sizes)


def _read_kp_detector(s: Mapping[str, Any]) -> KeypointDetector:
    levels = len(_numbers(s, r"predictor\.down_blocks\.down(\d+)\."))
    last = _width(s, f"predictor.down_blocks.down{levels - 1}.conv.weight")
    taps = _width(s, "down.weight", -1) if "down.weight" in s else 1
    steps = [step for step in (1, 2, 4, 8, 16) if len(gaussian_kernel(1 / step)) == taps]
    if not steps:
        raise ValueError(f"down.weight has {taps} taps, which is no known reduction")
    return KeypointDetector(
        num_keypoints=_width(s, "kp.weight"),
        block_expansion=_width(s, f"predictor.up_blocks.up{levels - 1}.conv.weight"),
        max_features=last,
        num_blocks=levels,
        depth=_width(s, "predictor.conv.weight") // last,
        scale_factor=1 / steps[0],
        kp_window=_width(s, "kp.weight", -1),
    )


def _read_he_estimator(s: Mapping[str, Any]) -> HeadExpressionEstimator:
    convs = _numbers(s, r"conv(\d+)\.weight")
    return HeadExpressionEstimator(
        num_keypoints=_width(s, "fc_exp.weight") // 3,
        widths=tuple(_width(s, f"conv{i}.weight") for i in convs),
        blocks=tuple(
            len(_numbers(s, rf"block{2 * i + 1}\.b{2 * i + 1}_(\d+)\.")) for i in range(len(convs) - 1)
        ),
        num_bins=_width(s, "fc_yaw.weight"),
    )


def _read_discriminator(s: Mapping[str, Any]) -> Discriminator:
    names = list(dict.fromkeys(m.group(1) for key in s if (m := re.match(r"discs\.([\d-]+)\.", key))))
    if not names:
        raise KeyError("no discs")
    first = f"discs.{names[0]}.down_blocks"
    blocks = len(_numbers(s, rf"{re.escape(first)}\.(\d+)\."))
    return Discriminator(
        scales=tuple(float(name.replace("-", ".")) for name in names),
        block_expansion=_width(s, f"{first}.0.conv.weight_orig") // 2,
        num_blocks=blocks,
        max_features=_width(s, f"{first}.{blocks - 1}.conv.weight_orig"),
    )


def _read_mapping(s: Mapping[str, Any]) -> MappingNet:
    return MappingNet(
        num_keypoints=_width(s, "fc_exp.weight") // 3,
        features=_width(s, "first.0.weight"),
        layers=len(_numbers(s, r"encoder(\d+)\.")),
        num_bins=_width(s, "fc_yaw.weight"),
    )


_READERS = {
    "generator": _read_generator,
    "kp_detector": _read_kp_detector,
    "he_estimator": _read_he_estimator,
    "discriminator": _read_discriminator,
    "mapping": _read_mapping,
}

# What a configuration and a checkpoint must agree on. Left out: upper bounds of widths (a larger bound gives
# the same network) and what does not show in the weights. All other disagreements show as shapes.
_SIZES = {
    "generator": (
        "decoder",
        "num_keypoints",
        "block_expansion",
        "num_down_blocks",
        "volume_channels",
        "depth",
    ),
    "kp_detector": ("num_keypoints", "block_expansion", "num_blocks", "depth", "kp_window"),
    "he_estimator": ("num_keypoints", "widths", "blocks", "num_bins"),
    "discriminator": ("scales", "block_expansion", "num_blocks"),
    "mapping": ("num_keypoints", "features", "layers", "num_bins"),
}
