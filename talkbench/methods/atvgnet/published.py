"""ATVGnet's published checkpoints as weights of the method."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from talkbench.methods.atvgnet import basis, convert
from talkbench.methods.atvgnet.method import networks
from talkbench.weights.torch_layout import agree

# What weights show of a network's settings.
_SHOWN = {
    "atnet": ("widths", "dense", "landmark_dense", "hidden", "layers"),
    "vgnet": ("width", "halvings", "blocks", "hidden"),
}


def published(config: ConfigDict, contents: Mapping[str, Any]) -> dict:
    """{"atnet": ..., "vgnet": generator sides} of `atnet_lstm_18.pth` and `generator_23.pth`, in any order.

    The codes are of the authors' landmarks, so the config must name their arrays (`model.basis`). VG-net's recurrence is set
    to run as in the published code (`model.vgnet.gru_axis`).

    Args:
        contents: {file name: state dict}.

    Raises:
        CheckpointError: a network that is missing or not the config's; no basis named.
        ShapeError: the basis cannot be read.
    """
    if config.model.basis == "shipped":
        raise convert.CheckpointError(
            "published AT-net speaks the authors' landmark codes: pass --config.model.basis=FILE.npz with their arrays "
            "U, mean, mean_shape_img, mean_shape_norm, base_68 and S"
        )
    table = basis.to_arrays(basis.read(config.model.basis), config.model.codes)
    config.model.vgnet.gru_axis = "batch"
    nets, made = networks(config), {}
    nets["vgnet"] = nets["vgnet"].clone(hidden=nets["vgnet"].hidden or 8 * nets["vgnet"].width)
    for path, state in contents.items():
        part = convert.load_part(state, name=path)
        kind = {"ATNet": "atnet", "VGNet": "vgnet"}.get(type(part.network).__name__)
        if kind is None:
            raise convert.CheckpointError(f"{path}: {type(part.network).__name__}, of no use for generation")
        agree(f"{path}: {kind}", part.network, nets[kind], _SHOWN[kind], f"--config.model.{kind}.")
        if kind == "atnet":
            agree(f"{path}: {kind}", part.network, nets[kind], ("codes",), "--config.model.")
        made[kind] = {
            "params": {kind: part.variables["params"]}, "stats": {kind: part.variables.get("batch_stats", {})},
        }  # fmt: skip
    if missing := [kind for kind in _SHOWN if kind not in made]:
        raise convert.CheckpointError(
            f"no file holds {' or '.join(missing)}: give atnet_*.pth and generator_*.pth"
        )
    made["atnet"]["stats"]["shapes"] = table
    return made
