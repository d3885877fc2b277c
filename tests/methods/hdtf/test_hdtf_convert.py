"""The converter against the published keys and shapes; arrays are broadcast zeros where full size would cost time."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from talkbench.methods.hdtf import convert
from talkbench.methods.hdtf.animation_networks import AnimationGenerator
from talkbench.methods.hdtf.video_networks import VideoGenerator
from talkbench.weights.golden import read
from talkbench.weights.torch_layout import CheckpointError, abstract_variables, entry

FOLDER = Path(__file__).parents[2] / "golden"
SHAPES = {
    name: network.shapes
    for file in ("hdtf", "hdtf_animation")
    for name, network in read(FOLDER / f"{file}_small.npz").networks.items()
}
SMALL = VideoGenerator(4, 1, 8, 4, 2, 8, 1)


def zeros(name):
    return {key: np.broadcast_to(np.float32(0), shape) for key, shape in SHAPES[name].items()}


def published():
    """As the authors' file has it: nested, wrapped, with the older names."""
    old = {}
    for key, value in zeros("gvid").items():
        key = key.replace("foreground_matting", "dense_motion").replace("matting_mask", "attention_mask")
        old[f"module.{key}"] = value
    return {"epoch": 3, "state_dict": {"net_g": old}}


def test_published_layout():
    part = convert.load(published())
    sizes = VideoGenerator(
        max_features=256, colour_order="bgr"
    )  # the cap of 512 is never reached: the same network
    assert part.network == sizes
    assert part.variables["params"]["foreground_matting"]["matting"]["kernel"].shape == (7, 7, 72, 256)
    assert sum(x.size for x in jax.tree.leaves(part.variables["params"])) == 20_417_877


def test_animation_networks():
    part = convert.load_part("animation_generator", zeros("animation_generator"))
    assert part.network == AnimationGenerator()
    assert part.variables["params"]["adain_0"]["fc1"]["kernel"].shape == (512, 256)
    part = convert.load_part("animation_discriminator", zeros("animation_discriminator_5"))
    assert part.variables["params"]["conv_in"]["kernel"].shape == (1, 20, 256)


def published_key(path):
    names = [re.sub(r"_(\d+)$", r".\1", name) for name in path[1:-1]]
    leaves = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    return ".".join([*names, leaves.get(path[-1], path[-1])])


@pytest.fixture(scope="module")
def small():
    """(variables, their state dict) of a small network with random numbers."""
    rng = np.random.default_rng(0)
    abstract = abstract_variables(SMALL.init, *convert.example_shapes(SMALL, {}))
    variables = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), abstract)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
    keys = [published_key([part.key for part in path]) for path in paths]
    return variables, {key: entry(variables, key) for key in keys}


def test_round_trip(small):
    """Our variables in the published layout and back; every value finds its place."""
    variables, state = small
    assert state["encoder.in_conv.conv.weight"].shape == (4, 3, 7, 7)
    part = convert.load({"net_g": state})
    assert part.network == SMALL.clone(colour_order="bgr")
    jax.tree.map(np.testing.assert_array_equal, part.variables, variables)
    kept = convert.load(state, SMALL.clone(flow_padding="edge")).network
    assert (kept.flow_padding, kept.colour_order) == ("edge", "rgb")


def test_wrong_checkpoints_are_refused(small):
    _, state = small
    with pytest.raises(CheckpointError, match="no video_generator of HDTF .no encoder.in_conv.conv.weight"):
        convert.load({"state_dict": {"net_d": {}}})
    with pytest.raises(CheckpointError, match="num_bottleneck_blocks 1, the configuration says 4"):
        convert.load(state, SMALL.clone(num_bottleneck_blocks=4))
    lacking = {key: value for key, value in state.items() if key != "foreground_matting.matting.bias"}
    with pytest.raises(CheckpointError, match="1 missing: params/foreground_matting/matting/bias"):
        convert.load(lacking)
    with pytest.raises(CheckpointError, match="1 unexpected: kp_detector.weight"):
        convert.load({**state, "kp_detector.weight": np.zeros(1)})
    taps = {"foreground_matting.down_sample_flow.weight": np.zeros((2, 1, 29, 29))}
    with pytest.raises(CheckpointError, match="29 taps, which does not fit 1 halvings"):
        convert.load({**state, **taps})
