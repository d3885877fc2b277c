"""The converter against the published keys and shapes; arrays are broadcast zeros, so that full size costs
nothing.
"""

from pathlib import Path

import numpy as np
import pytest

from talkbench.evaluators.hopenet import convert_hopenet
from talkbench.methods.facevid2vid import convert
from talkbench.methods.facevid2vid.networks import (
    Discriminator,
    Generator,
    HeadExpressionEstimator,
    KeypointDetector,
)
from talkbench.nn.vgg import VGG
from talkbench.weights.golden import read
from talkbench.weights.torch_layout import CheckpointError
from talkbench.weights.vgg import convert_vgg

GOLDEN = read(Path(__file__).parents[2] / "golden" / "facevid2vid_small.npz")


def zeros(name):
    shapes = GOLDEN.networks[name].shapes
    return {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()}


def published(generator="gen_spade"):
    parts = {name: zeros(name) for name in ("kp_detector", "he_estimator", "discriminator")}
    return {**parts, "generator": zeros(generator), "optimizer_generator": {"state": {}}, "epoch": 7}


def test_published_layout():
    parts = convert.load(published(), need=["generator", "kp_detector", "he_estimator"])
    networks = {name: part.network for name, part in parts.items()}
    assert networks == {
        "generator": Generator(motion_max_features=1024, max_features=256),
        "kp_detector": KeypointDetector(),
        "he_estimator": HeadExpressionEstimator(),
        "discriminator": Discriminator(),
    }
    assert parts["generator"].variables["params"]["spade_decoder"]["fc"]["kernel"].shape == (3, 3, 256, 512)
    assert parts["discriminator"].variables["batch_stats"]["discs_1"]["conv"]["v"].shape == (1, 1, 512)


def test_sadtalker_and_data_parallel_layouts():
    flat = {f"module.generator.{key}": value for key, value in zeros("gen_spade").items()}
    flat |= {f"module.kp_extractor.{key}": value for key, value in zeros("kp_detector").items()}
    flat["module.audio2exp.netG.weight"] = np.zeros(3, np.float32)
    assert set(convert.load(flat)) == {"generator", "kp_detector"}
    wrapped = {"generator": {f"module.{key}": value for key, value in zeros("gen_plain").items()}}
    assert convert.load(wrapped)["generator"].network.decoder == "plain"
    mapping = convert.load({"mapping": zeros("sadtalker_mapping_73")})["mapping"]
    assert mapping.variables["params"]["first_0"]["kernel"].shape == (7, 73, 1024)


def test_beta_layout_has_no_reduction():
    state = zeros("kp_detector")
    del state["down.weight"]
    assert convert.load_part("kp_detector", state).network.scale_factor == 1


def test_values_reach_their_place():
    state = dict(zeros("he_estimator"))
    rng = np.random.default_rng(0)
    weight = state["block5.b5_3.conv2.weight"] = rng.normal(size=(256, 256, 3, 3)).astype(np.float32)
    mean = state["block2.norm4.running_mean"] = rng.normal(size=512).astype(np.float32)
    linear = state["fc_t.weight"] = rng.normal(size=(3, 2048)).astype(np.float32)
    variables = convert.load_part("he_estimator", state).variables
    np.testing.assert_array_equal(
        variables["params"]["block5_3"]["conv2"]["kernel"][2, 0, 5, 7], weight[7, 5, 2, 0]
    )
    np.testing.assert_array_equal(variables["batch_stats"]["block2"]["norm4"]["mean"], mean)
    np.testing.assert_array_equal(variables["params"]["fc_t"]["kernel"], linear.T)


def test_disagreement_with_the_configuration_is_named():
    with pytest.raises(
        CheckpointError, match="decoder plain, the configuration says spade: set decoder to plain"
    ):
        convert.load(published("gen_plain"), {"generator": Generator()})
    with pytest.raises(CheckpointError, match="num_keypoints 15, the configuration says 20"):
        convert.load(published(), {"kp_detector": KeypointDetector(num_keypoints=20)})
    assert convert.load(published(), {"generator": Generator(mask_threshold=1e-3)})[
        "generator"
    ].network.mask_threshold


def test_wrong_checkpoints_are_refused():
    with pytest.raises(CheckpointError, match="it should hold generator"):
        convert.load({"state_dict": {}, "epoch": 1})
    with pytest.raises(CheckpointError, match="lacks he_estimator"):
        convert.load({"generator": zeros("gen_plain")}, need=["generator", "he_estimator"])
    with pytest.raises(CheckpointError, match="no generator of face-vid2vid"):
        convert.load_part("generator", zeros("kp_detector"))
    state = zeros("discriminator")
    del state["discs.1.down_blocks.2.norm.bias"]
    with pytest.raises(CheckpointError, match="1 missing: params/discs_1/down_blocks_2/norm/bias"):
        convert.load_part("discriminator", state)
    state = {**zeros("kp_detector"), "jacobian.weight": np.zeros((1, 1), np.float32)}
    with pytest.raises(CheckpointError, match="1 unexpected: jacobian.weight"):
        convert.load_part("kp_detector", state)
    state = {**zeros("he_estimator"), "block4.conv2.weight": np.zeros((256, 128, 3, 3), np.float32)}
    with pytest.raises(CheckpointError, match=r"1 of another size: block4.conv2.weight"):
        convert.load_part("he_estimator", state)


def test_teachers():
    variables = convert_hopenet(zeros("hopenet"))
    assert variables["params"]["backbone"]["layer3_5"]["conv2"]["kernel"].shape == (3, 3, 256, 256)
    assert "fc_finetune" not in variables["params"]
    with pytest.raises(CheckpointError, match="Hopenet checkpoint does not fit"):
        convert_hopenet(zeros("vgg19"))
    whole = {
        **zeros("vgg19"),
        "features.30.weight": np.zeros((512, 512, 3, 3)),
        "classifier.0.bias": np.zeros(4096),
    }
    assert set(convert_vgg(whole, VGG())["params"]) == set(convert_vgg(zeros("vgg19"), VGG())["params"])
    with pytest.raises(CheckpointError, match="missing"):
        convert_vgg(zeros("vgg19"), VGG(taps=("relu5_4",)))
