"""Published PC-AVS checkpoints as our networks' variables.

`latest_net_G.pth`, `latest_net_V.pth`, `latest_net_E.pth`, `latest_net_A_sync.pth` (and `..._D.pth`, if one comes up)
hold one state dict each. Keys may carry the `module.` of a data-parallel wrapper. Sizes are read from the shapes.
Unlike the published loader, which drops what does not fit with a print, this one refuses it by name. Left out on
purpose: the generator's unused mapping network (unless `style_mlp`), the classifiers that only training needs (unless
the network has `num_classes`), the backbone's ImageNet classifier, and filters that are constants (which are checked).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from talkbench.methods.pcavs.networks import (
    AudioEncoder,
    Discriminator,
    Generator,
    IdentityEncoder,
    NonIdentityEncoder,
)
from talkbench.weights.torch_layout import CheckpointError, abstract_variables, convert, strip_module

PARTS = ("E", "V", "A_sync", "G", "D")

RULES = {
    "E": (),
    "V": (),
    "A_sync": (),
    "G": (
        (r"^style\.(\d+)\.", r"style.fc.\1."),
        (r"\.noise\.weight$", ".noise_strength"),
        (r"\.activate\.bias$", ".bias"),
        (r"^input\.input$", "input"),
    ),
    "D": (),
}
_BLUR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
_CONSTANT = r"(convs\.\d+\.conv\.blur|to_rgbs\.\d+\.upsample)\.kernel"
_NOISE = r"noises\.noise_(\d+)"
_CLASSIFIERS = {
    "E": (r"classifier\..*", r"mouth_fc\..*", r"headpose_fc\..*"),
    "A_sync": (r"fc\..*",),
}


class Part(NamedTuple):
    """A network and its variables {"params": ..., "batch_stats": ...}."""

    network: nn.Module
    variables: dict


def load(
    checkpoints: Mapping[str, Mapping[str, Any]],
    networks: Mapping[str, nn.Module] | None = None,
    need: Iterable[str] = (),
) -> dict[str, Part]:
    """Several published state dicts.

    Args:
        checkpoints: {part: state dict}. networks: {part: network}; parts that aren't named take the checkpoint's sizes.
        need: parts that must be there.

    Raises:
        CheckpointError: naming what is missing or differs.
    """
    missing = [part for part in need if part not in checkpoints]
    if missing:
        files = ", ".join(f"latest_net_{part}.pth" for part in missing)
        raise CheckpointError(f"the published model lacks {files}")
    networks = networks or {}
    return {part: load_part(part, state, networks.get(part)) for part, state in checkpoints.items()}


def load_part(
    part: str, state_dict: Mapping[str, Any], network: nn.Module | None = None, **options: Any
) -> Part:
    """One published state dict as variables.

    Args:
        part: of `PARTS`.
        network: None: as the checkpoint's sizes say, with `options` of the network (`style_mlp`, `num_classes`) added.

    Raises:
        CheckpointError: it is of another network or size.
    """
    state = strip_module(state_dict)
    if part not in PARTS:
        raise CheckpointError(f"no part {part!r} of PC-AVS: there are {', '.join(PARTS)}")
    try:
        found = _READERS[part](state)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        some = ", ".join(list(state)[:3]) or "nothing"
        raise CheckpointError(f"no network {part} of PC-AVS ({error}); it holds {some}") from None
    network = network or found.clone(**options)
    ignore = []
    if part == "G":
        state, noises = _unwrapped(state)
        ignore = [] if network.style_mlp else [r"style\..*"]
        ignore += [] if network.constant else [r"input\.input"]
    if part == "V":
        ignore = [r"model\.fc\..*"]
    if not getattr(network, "num_classes", 1):
        ignore = _CLASSIFIERS[part]
    abstract = abstract_variables(network.init, *_example_shapes(network, state))
    stored = abstract.pop("batch_stats") if part == "G" else {}
    variables = convert(state, abstract, RULES[part], ignore, f"the network {part}")
    if part == "G":
        variables["batch_stats"] = _noises(noises, stored)
    return Part(network, variables)


def _unwrapped(state: Mapping[str, Any]) -> tuple[dict, dict]:
    """The generator's state dict without leading and trailing axes of 1, and its noise maps apart."""
    plain, noises = {}, {}
    for key, value in state.items():
        if match := re.fullmatch(_NOISE, key):
            noises[f"noise_{match.group(1)}"] = np.asarray(value, np.float32).transpose(0, 2, 3, 1)
        elif re.fullmatch(_CONSTANT, key):
            if not np.allclose(np.asarray(value), _BLUR, atol=1e-6):
                raise CheckpointError(f"the network G: {key} is not the filter [1, 3, 3, 1] of PC-AVS")
        elif key == "input.input":
            plain[key] = np.moveaxis(np.asarray(value), 1, -1)
        elif re.search(r"\.conv\.weight$", key):
            plain[key] = np.asarray(value)[0]
        elif re.search(r"(\.activate|^to_rgb1|^to_rgbs\.\d+)\.bias$", key):
            plain[key] = np.asarray(value).reshape(-1)
        else:
            plain[key] = value
    return plain, noises


def _noises(noises: Mapping[str, np.ndarray], stored: Mapping[str, Any]) -> dict:
    if {k: v.shape for k, v in noises.items()} != {k: v.shape for k, v in stored.items()}:
        raise CheckpointError(
            f"the network G has noise maps {', '.join(noises) or 'none'} that do not fit {len(stored)} layers"
        )
    return dict(noises)


def _example_shapes(network: nn.Module, state: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    if isinstance(network, NonIdentityEncoder):
        side = 8 * round(_width(state, "model.fc.weight", 1) ** 0.5)
        return ((network.clip_len, side, side, 3),)
    if isinstance(network, IdentityEncoder):
        return ((1, 64, 64, 3),)
    if isinstance(network, AudioEncoder):
        rows = _width(state, "model.attention.3.weight") // network.widths[-1]
        return ((1, rows * 2 ** (len(network.stages) - 1), 20, 1),)
    if isinstance(network, Generator):
        styles = _width(state, "conv1.conv.modulation.weight", 1)
        return ((1, styles), (1, network.start, network.start, network.widths[0]))
    if isinstance(network, Discriminator):
        return ((1, 64, 64, 3),)
    raise TypeError(f"{type(network).__name__} is no network of PC-AVS")


def _numbers(state: Mapping[str, Any], pattern: str) -> int:
    """How many distinct numbers the group of `pattern` takes in the keys."""
    return len({m.group(1) for key in state if (m := re.match(pattern, key))})


def _width(state: Mapping[str, Any], key: str, axis: int = 0) -> int:
    if key not in state:
        raise KeyError(f"no {key}")
    return int(np.shape(state[key])[axis])


def _read_non_identity(s: Mapping[str, Any]) -> NonIdentityEncoder:
    features, pose = _width(s, "model.fc.weight"), _width(s, "headpose_embed.1.weight")
    mouth = _width(s, "mouth_embed.1.weight")
    frames = _width(s, "mouth_fc.1.weight", 1) // features if "mouth_fc.1.weight" in s else 1
    return NonIdentityEncoder(
        features=features,
        pose_dim=pose,
        mouth_dim=0 if mouth == features - pose else mouth,
        clip_len=frames,
        fan_features=_width(s, "model.conv4.downsample.2.weight"),
    )


def _stages(s: Mapping[str, Any]) -> tuple[int, ...]:
    count = _numbers(s, r"model\.layer(\d+)\.")
    return tuple(_numbers(s, rf"model\.layer{i + 1}\.(\d+)\.") for i in range(count))


def _read_identity(s: Mapping[str, Any]) -> IdentityEncoder:
    inner = _width(s, "model.layer1.0.conv1.weight")
    groups = inner // _width(s, "model.layer1.0.conv2.weight", 1)
    width = _width(s, "model.conv1.weight")
    return IdentityEncoder(
        num_classes=_width(s, "fc.weight"),
        map_width=_width(s, "conv1x1.weight"),
        stages=_stages(s),
        width=width,
        groups=groups,
        base_width=64 * inner // (groups * width),
    )


def _read_audio(s: Mapping[str, Any]) -> AudioEncoder:
    stages = _stages(s)
    return AudioEncoder(
        outputs=_width(s, "model.fc.weight"),
        stages=stages,
        widths=tuple(_width(s, f"model.layer{i + 1}.0.conv1.weight") for i in range(len(stages))),
        attention=_width(s, "model.attention.0.weight"),
    )


def _read_generator(s: Mapping[str, Any]) -> Generator:
    levels = _numbers(s, r"to_rgbs\.(\d+)\.")
    return Generator(
        widths=(
            _width(s, "conv1.conv.weight", 1),
            *(_width(s, f"convs.{2 * i}.conv.weight", 1) for i in range(levels)),
        ),
        start=_width(s, "input.input", -1),
        mapping_layers=_numbers(s, r"style\.(\d+)\.") or 8,
    )


def _read_discriminator(s: Mapping[str, Any]) -> Discriminator:
    layers = _numbers(s, r"discriminator_0\.model(\d+)\.") - 1
    return Discriminator(
        scales=_numbers(s, r"discriminator_(\d+)\."),
        features=_width(s, "discriminator_0.model0.0.weight"),
        layers=layers,
        max_features=max(_width(s, f"discriminator_0.model{i}.0.0.weight_orig") for i in range(1, layers)),
    )


_READERS = {
    "E": _read_non_identity,
    "V": _read_identity,
    "A_sync": _read_audio,
    "G": _read_generator,
    "D": _read_discriminator,
}
