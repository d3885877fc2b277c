"""Published ATVGnet checkpoints (`atnet_lstm_18.pth`, `generator_23.pth`) as our networks' variables.

A file is one flat state dict whose keys begin with `module.` (DataParallel); sizes are read from its shapes. The
kinds are told apart by their keys, so a file of the wrong network is refused by name.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from talkbench.methods.atvgnet.blocks import ConvGRU
from talkbench.methods.atvgnet.networks import ATNet, ATSingle, Discriminator, VGNet
from talkbench.weights.torch_layout import CheckpointError, abstract_variables, convert, strip_module

# The convolutional GRU's weights are published as weight_ih_l0, bias_hh_l0, ...: ours are layers ih_l0, hh_l0.
_RECURRENT = (r"^(convGRU\.)?(weight|bias)_(ih|hh)_l(\d+)$", r"\1\3_l\4.\2")
RULES = (_RECURRENT,)
# The discriminator's decoder is saved and never called.
_IGNORE = (r"decoder\.\d+\.(weight|bias)",)
WINDOW = (28, 12)


class Part(NamedTuple):
    """A network and its variables {"params": ..., "batch_stats": ...}."""

    network: nn.Module
    variables: dict


def load_part(
    state: Mapping[str, Any], kind: str | None = None, name: str = "the checkpoint", **settings
) -> Part:
    """One network's published state dict.

    Args:
        kind: "atnet", "atsingle", "vgnet", "discriminator" or "conv_gru", where only that will do. name: how errors call it.
        settings: fields of the network that weights don't show (`per_step`, `gru_axis`, `dropout`, ...).
    """
    state = strip_module(state)
    found = kind_of(state)
    if found is None or kind not in (None, found):
        some = ", ".join(list(state)[:3]) or "nothing"
        raise CheckpointError(
            f"{name}: no {kind or 'network'} of ATVGnet{f' but its {found}' if found else ''}; it holds {some}"
        )
    try:
        network, shapes = _READERS[found](state)
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(f"{name}: no {found} of ATVGnet ({error})") from None
    network = network.clone(**settings)
    abstract = abstract_variables(network.init, *shapes)
    return Part(network, convert(state, abstract, RULES, _IGNORE, name))


def kind_of(state: Mapping[str, Any]) -> str | None:
    """Which network a state dict (without `module.`) belongs to."""
    marks = {
        "vgnet": "generator1.0.conv_block.0.weight", "discriminator": "decision.0.weight",
        "atnet": "lmark_encoder.0.weight", "atsingle": "audio_eocder.0.0.bias", "conv_gru": "weight_ih_l0",
    }  # fmt: skip
    return next((kind for kind, key in marks.items() if key in state), None)


def _width(state: Mapping[str, Any], key: str, axis: int = 0) -> int:
    if key not in state:
        raise KeyError(f"no {key}")
    return int(np.shape(state[key])[axis])


def _widths(state: Mapping[str, Any], pattern: str) -> tuple[int, ...]:
    """First sizes of the tensors whose key fully matches, in the order of the number in it."""
    found = {
        int(m.group(1)): int(np.shape(value)[0])
        for key, value in state.items()
        if (m := re.fullmatch(pattern, key))
    }
    return tuple(found[number] for number in sorted(found))


def _lstm(state: Mapping[str, Any]) -> dict[str, int]:
    return {
        "hidden": _width(state, "lstm.weight_hh_l0", 1),
        "layers": len(_widths(state, r"lstm\.weight_hh_l(\d+)")),
    }


def _read_atnet(s):
    network = ATNet(
        widths=_widths(s, r"audio_eocder\.(\d+)\.0\.weight"), dense=_widths(s, r"audio_eocder_fc\.(\d+)\.weight"),
        landmark_dense=_widths(s, r"lmark_encoder\.(\d+)\.weight"), codes=_width(s, "lstm_fc.0.weight"), **_lstm(s),
    )  # fmt: skip
    return network, ((1, network.codes), (1, 1, *WINDOW))


def _read_atsingle(s):
    *dense, codes = _widths(s, r"audio_eocder_fc\.(\d+)\.weight")
    return ATSingle(_widths(s, r"audio_eocder\.(\d+)\.0\.weight"), tuple(dense), codes), ((1, *WINDOW),)


def _read_vgnet(s):
    halvings = len(_widths(s, r"base\.(\d+)\.weight")) // 2
    side = round(_width(s, "landmark_encoder.0.weight") ** 0.5) * 2 ** (halvings + 2)
    network = VGNet(
        width=_width(s, "image_encoder1.1.0.weight"), halvings=halvings,
        blocks=len(_widths(s, r"generator1\.(\d+)\.conv_block\.0\.weight")), 
        hidden=_width(s, "convGRU.weight_hh_l0", 1), gru_axis="batch",
    )  # fmt: skip
    points = _width(s, "landmark_encoder.0.weight", 1)
    return network, ((1, side, side, 3), (1, 1, points), (1, points))


def _read_discriminator(s):
    widths = _widths(s, r"image_encoder_dis\.(\d+)\.0\.weight")
    side = round((_width(s, "img_fc.0.weight", 1) / widths[-1]) ** 0.5) * 2 ** len(widths)
    network = Discriminator(
        widths=widths, dense=_width(s, "img_fc.0.weight"), landmark_dense=_widths(s, r"encoder\.(\d+)\.weight"), **_lstm(s)
    )  # fmt: skip
    return network, ((1, 1, side, side, 3), (1, _width(s, "encoder.0.weight", 1)))


def _read_conv_gru(s):
    features, channels, window, _ = np.shape(s["weight_ih_l0"])
    return ConvGRU(features // 3, window), ((1, 1, 4, 4, channels),)


_READERS = {
    "atnet": _read_atnet, "atsingle": _read_atsingle, "vgnet": _read_vgnet, "discriminator": _read_discriminator,
    "conv_gru": _read_conv_gru,
}  # fmt: skip
