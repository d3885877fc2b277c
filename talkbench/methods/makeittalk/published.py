"""MakeItTalk's published checkpoints, and the constants that go with them, as weights of the method."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from talkbench.methods.makeittalk import convert
from talkbench.methods.makeittalk.stages import networks
from talkbench.weights.torch_layout import agree

_MELS = 80
# What weights show of a network's settings.
_SHOWN = {
    "voice_conversion": ("neck", "width", "original"),
    "voice_encoder": ("hidden", "features", "layers"),
    "content": ("prior", "projected", "hidden", "layers", "widths"),
    "speaker": (
        "hidden", "layers", "speaker", "noise", "width", "encoder_layers", "feed_forward", "widths", "use_face",
    ),
    "translation": ("widths",),
}  # fmt: skip


def published(config: ConfigDict, contents: Mapping[str, Any]) -> dict:
    """{stage: generator side} of the five checkpoints and two text files, in any order.

    The text files are the target voice of the conversion (256 numbers, `obama_emb.txt`) and the mean and the deviation of
    the spectrograms (2 x 80 numbers); both are under a non-commercial licence and not in this package. The standard face
    is the config's (`model.standard_face`).

    Args:
        contents: {file name: what it held}; an array is a text file's.

    Raises:
        CheckpointError: a network or constant that is missing or does not fit.
    """
    nets, parts, constants = networks(config), {}, {}
    for path, content in contents.items():
        if isinstance(content, np.ndarray):
            name, value = _constant(path, content, nets["voice_encoder"].features)
            constants[name] = value
        else:
            part = convert.load(content)
            flag = f"--config.model.{part.name}."
            agree(f"{path}: {part.name}", part.network, nets[part.name], _SHOWN[part.name], flag)
            parts[part.name] = part.variables
    missing = [name for name in convert.PARTS if name not in parts]
    missing += [
        name for name in ("target voice (.txt)", "mean and deviation (.txt)") if name not in constants
    ]
    if missing:
        raise convert.CheckpointError(f"no file holds MakeItTalk's {', '.join(missing)}")
    mean, deviation = constants["mean and deviation (.txt)"]
    params = {name: variables["params"] for name, variables in parts.items()}
    stats = {name: variables.get("batch_stats", {}) for name, variables in parts.items()}
    side = lambda name, **more: {"params": {name: params[name]}, "stats": {name: stats[name], **more}}  # noqa: E731
    voice = {"voice": constants["target voice (.txt)"]}
    return {
        "voice_conversion": side("voice_conversion", target=voice, voice_encoder=params["voice_encoder"]),
        "content": side("content", sound={"mean": mean, "var": deviation**2 - nets["sound"].epsilon}),
        "speaker": side("speaker"),
        "image_translation": side("translation"),
    }


def _constant(path: str, numbers: np.ndarray, voice: int) -> tuple[str, np.ndarray]:
    """(what a text file of numbers is, the numbers)."""
    if numbers.size == 2 * _MELS:
        return "mean and deviation (.txt)", numbers.reshape(2, _MELS)
    if numbers.size == voice:
        return "target voice (.txt)", numbers.reshape(voice)
    raise convert.CheckpointError(
        f"{path}: {numbers.size} numbers; expected {voice} (target voice) or {2 * _MELS} (mean and deviation of spectrograms)"
    )
