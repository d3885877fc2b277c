import jax
import numpy as np
import pytest

from talkbench.methods.atvgnet.convert import RULES, load_part
from talkbench.methods.atvgnet.networks import ATNet, Discriminator, VGNet
from talkbench.weights.torch_layout import CheckpointError, abstract_variables, entry

SMALL = VGNet(width=4, halvings=1, blocks=2, hidden=6, gru_axis="batch")


def published(names, network, *inputs):
    """A state dict with random values of the given keys, shaped as the network's own entries."""
    rng = np.random.default_rng(0)
    abstract = abstract_variables(network.init, *inputs)
    zeros = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), abstract)
    return {key: rng.normal(size=entry(zeros, key, RULES).shape).astype(np.float32) for key in names}


def norms(prefix):
    return [f"{prefix}.{name}" for name in ("weight", "bias", "running_mean", "running_var")]


def blocks(*prefixes):
    return [key for prefix in prefixes for key in (f"{prefix}.0.weight", *norms(f"{prefix}.1"))]


VGNET = [
    *blocks(
        "image_encoder1.1", "image_encoder1.2", "image_encoder1.3", "image_encoder2.0", "image_encoder2.1"
    ),
    *blocks("landmark_encoder_stage2.0", "lmark_feature.0", "bottle_neck.0"),
    *("landmark_encoder.0.weight", "landmark_encoder.0.bias"),
    *("lmark_att.0.weight", "lmark_att.0.bias", *norms("lmark_att.1")),
    *(
        "lmark_att.3.weight",
        "lmark_att.3.bias",
        *norms("lmark_att.4"),
        "lmark_att.6.0.weight",
        "lmark_att.6.0.bias",
    ),
    *(f"convGRU.{kind}_{what}_l0" for kind in ("weight", "bias") for what in ("ih", "hh")),
    *[
        key
        for i in (0, 1)
        for part, norm in ((0, 1), (4, 5))
        for key in (f"generator1.{i}.conv_block.{part}.weight", *norms(f"generator1.{i}.conv_block.{norm}"))
    ],
    *("generator1.2.weight", *norms("generator1.3"), "generator1.5.weight", *norms("generator1.6")),
    *("base.0.weight", *norms("base.1")),
    *(f"generator_{name}.0.{kind}" for name in ("color", "attention") for kind in ("weight", "bias")),
]
SHAPES = (1, 16, 16, 3), (1, 1, 136), (1, 136)


def test_vgnet_round_trip():
    state = published(VGNET, SMALL, *SHAPES)
    part = load_part({f"module.{key}": value for key, value in state.items()})
    assert (part.network.width, part.network.halvings, part.network.blocks) == (4, 1, 2)
    assert part.network.hidden == 6 and part.network.gru_axis == "batch"
    for key, value in state.items():
        np.testing.assert_array_equal(entry(part.variables, key, RULES), value)
    gru = part.variables["params"]["convGRU"]["hh_l0"]["kernel"]
    assert gru[2, 0, 5, 7] == state["convGRU.weight_hh_l0"][7, 5, 2, 0]
    up = part.variables["params"]["generator1_2"]["transpose_kernel"]
    assert up[2, 0, 5, 7] == state["generator1.2.weight"][5, 7, 2, 0]


def test_settings_that_weights_do_not_show():
    state = published(VGNET, SMALL, *SHAPES)
    network = load_part(state, gru_axis="time", per_step=True, dropout=0.0).network
    assert (network.gru_axis, network.per_step, network.dropout) == ("time", True, 0.0)


def test_a_file_of_another_network_is_refused():
    state = published(VGNET, SMALL, *SHAPES)
    assert load_part(state, "vgnet", "generator_23.pth").network.width == 4
    with pytest.raises(CheckpointError, match="generator_23.pth: no atnet of ATVGnet but its vgnet"):
        load_part(state, "atnet", "generator_23.pth")
    with pytest.raises(CheckpointError, match="no network of ATVGnet; it holds weight"):
        load_part({"weight": np.zeros(3)})
    del state["bottle_neck.0.1.bias"]
    with pytest.raises(CheckpointError, match="1 missing: params/bottle_neck_0_1/bias"):
        load_part(state)


def test_sizes_of_the_other_networks_are_read_from_shapes():
    layers = [f"lstm.{k}_{w}_l{i}" for i in (0, 1) for k in ("weight", "bias") for w in ("ih", "hh")]
    dense = lambda *names: [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]  # noqa: E731
    atnet = ATNet((2, 3, 4, 5, 6), (8, 7), (5, 9), hidden=4, layers=2, codes=3)
    names = [*blocks(*(f"audio_eocder.{i}" for i in (0, 1, 3, 4, 5))), *layers]
    names += dense(
        "audio_eocder_fc.0", "audio_eocder_fc.2", "lmark_encoder.0", "lmark_encoder.2", "lstm_fc.0"
    )
    found = load_part(published(names, atnet, (1, 3), (1, 1, 28, 12)), "atnet").network
    assert (found.widths, found.dense, found.landmark_dense) == (
        atnet.widths,
        atnet.dense,
        atnet.landmark_dense,
    )
    assert (found.hidden, found.layers, found.codes) == (4, 2, 3)
    judge = Discriminator((2, 3, 4, 5), 6, (7, 8), hidden=4, layers=2)
    names = [*blocks(*(f"image_encoder_dis.{i}" for i in (1, 2, 3))), *layers]
    names += dense("image_encoder_dis.0.0", "encoder.0", "encoder.2", "img_fc.0", "lstm_fc.0", "decision.0")
    state = published(names, judge, (1, 1, 32, 32, 3), (1, 136))
    state |= {
        "decoder.0.weight": np.zeros((4, 4)),
        "decoder.2.bias": np.zeros(3),
    }  # in published files, never called
    found = load_part(state, "discriminator").network
    assert (found.widths, found.dense, found.landmark_dense, found.layers) == ((2, 3, 4, 5), 6, (7, 8), 2)
