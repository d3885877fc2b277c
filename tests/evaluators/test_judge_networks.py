"""Sizes of the full networks (nothing is computed) and their converters, with keys as the publishers write
them.
"""

import jax
import numpy as np
import pytest

from talkbench.evaluators import arcface, fan, inception, lpips, s3fd, syncnet
from talkbench.weights.torch_layout import CheckpointError, locate


def count(tree, collection):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree.get(collection, {})))


@pytest.mark.parametrize(
    "abstract, params, stats",
    [
        (inception.abstract, 23_850_960, 34_432),
        (lambda: lpips.abstract("vgg"), 14_716_160, 0),
        (lambda: lpips.abstract("alex"), 2_470_848, 0),
        (syncnet.abstract, 13_631_616, 8_640),
        (fan.abstract, 23_820_176, 54_144),
        (fan.depth_abstract, 58_496_388, 151_424),
        (s3fd.abstract, 22_459_110, 0),
        (arcface.abstract, 43_797_696, 26_368),
    ],
)
def test_parameter_counts(abstract, params, stats):
    tree = abstract()
    assert (count(tree, "params"), count(tree, "batch_stats")) == (params, stats)


# Published keys and shapes, from the publishers' descriptions of their networks


def conv(key, i, o, *window, bias=True):
    return {f"{key}.weight": (o, i, *window)} | ({f"{key}.bias": (o,)} if bias else {})


def norm(key, n):
    return {f"{key}.{kind}": (n,) for kind in ("weight", "bias", "running_mean", "running_var")} | {
        f"{key}.num_batches_tracked": ()
    }


def linear(key, i, o):
    return {f"{key}.weight": (o, i), f"{key}.bias": (o,)}


def fan_keys():
    def block(key, i, o):
        keys = {}
        for n, (a, b) in enumerate(((i, o // 2), (o // 2, o // 4), (o // 4, o // 4)), 1):
            keys |= norm(f"{key}.bn{n}", a) | conv(f"{key}.conv{n}", a, b, 3, 3, bias=False)
        if i != o:
            keys |= norm(f"{key}.downsample.0", i) | conv(f"{key}.downsample.2", i, o, 1, 1, bias=False)
        return keys

    keys = conv("conv1", 3, 64, 7, 7) | norm("bn1", 64)
    keys |= block("conv2", 64, 128) | block("conv3", 128, 128) | block("conv4", 128, 256)
    for i in range(4):
        for name in [f"b{n}_{level}" for level in (1, 2, 3, 4) for n in (1, 2, 3)] + ["b2_plus_1"]:
            keys |= block(f"m{i}.{name}", 256, 256)
        keys |= (
            block(f"top_m_{i}", 256, 256) | conv(f"conv_last{i}", 256, 256, 1, 1) | norm(f"bn_end{i}", 256)
        )
        keys |= conv(f"l{i}", 256, 68, 1, 1)
        if i < 3:
            keys |= conv(f"bl{i}", 256, 256, 1, 1) | conv(f"al{i}", 68, 256, 1, 1)
    return keys


VGG = [(0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256), (12, 256, 256), (14, 256, 256)]
VGG += [(17, 256, 512)] + [(i, 512, 512) for i in (19, 21, 24, 26, 28)]


def s3fd_syncnet_keys():
    keys = {}
    for index, i, o in VGG:
        keys |= conv(f"vgg.{index}", i, o, 3, 3)
    keys |= conv("vgg.31", 512, 1024, 3, 3) | conv("vgg.33", 1024, 1024, 1, 1)
    keys |= {"L2Norm3_3.weight": (256,), "L2Norm4_3.weight": (512,), "L2Norm5_3.weight": (512,)}
    keys |= conv("extras.0", 1024, 256, 1, 1) | conv("extras.1", 256, 512, 3, 3)
    keys |= conv("extras.2", 512, 128, 1, 1) | conv("extras.3", 128, 256, 3, 3)
    for level, width in enumerate((256, 512, 512, 1024, 512, 256)):
        keys |= conv(f"loc.{level}", width, 4, 3, 3) | conv(f"conf.{level}", width, 2 if level else 4, 3, 3)
    return keys


def s3fd_fan_keys():
    names = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3"]
    keys = {}
    for name, (_, i, o) in zip(names, VGG, strict=True):
        keys |= conv(f"conv{name}", i, o, 3, 3)
    keys |= conv("fc6", 512, 1024, 3, 3) | conv("fc7", 1024, 1024, 1, 1)
    keys |= conv("conv6_1", 1024, 256, 1, 1) | conv("conv6_2", 256, 512, 3, 3)
    keys |= conv("conv7_1", 512, 128, 1, 1) | conv("conv7_2", 128, 256, 3, 3)
    heads = {"conv3_3_norm": 256, "conv4_3_norm": 512, "conv5_3_norm": 512, "fc7": 1024, "conv6_2": 512}
    for name, width in {**heads, "conv7_2": 256}.items():
        if "norm" in name:
            keys[f"{name}.weight"] = (width,)
        keys |= conv(f"{name}_mbox_loc", width, 4, 3, 3)
        keys |= conv(f"{name}_mbox_conf", width, 4 if name == "conv3_3_norm" else 2, 3, 3)
    return keys


def arcface_keys():
    keys = (
        conv("input_layer.0", 3, 64, 3, 3, bias=False)
        | norm("input_layer.1", 64)
        | {"input_layer.2.weight": (64,)}
    )
    unit, i = 0, 64
    for o, number in ((64, 3), (128, 4), (256, 14), (512, 3)):
        for _ in range(number):
            key = f"body.{unit}.res_layer"
            keys |= norm(f"{key}.0", i) | conv(f"{key}.1", i, o, 3, 3, bias=False) | {f"{key}.2.weight": (o,)}
            keys |= conv(f"{key}.3", o, o, 3, 3, bias=False) | norm(f"{key}.4", o)
            keys |= conv(f"{key}.5.fc1", o, o // 16, 1, 1, bias=False)
            keys |= conv(f"{key}.5.fc2", o // 16, o, 1, 1, bias=False)
            if i != o:
                key = f"body.{unit}.shortcut_layer"
                keys |= conv(f"{key}.0", i, o, 1, 1, bias=False) | norm(f"{key}.1", o)
            unit, i = unit + 1, o
    return (
        keys
        | norm("output_layer.0", 512)
        | linear("output_layer.3", 25088, 512)
        | norm("output_layer.4", 512)
    )


def syncnet_keys():
    keys = {}
    lip = [(0, 3, 96, 5, 7, 7), (4, 96, 256, 1, 5, 5), *((i, 256, 256, 1, 3, 3) for i in (8, 11, 14))]
    sound = [
        (0, 1, 64, 3, 3),
        (4, 64, 192, 3, 3),
        (8, 192, 384, 3, 3),
        (11, 384, 256, 3, 3),
        (14, 256, 256, 3, 3),
    ]
    for tower, layers in (
        ("netcnnlip", [*lip, (18, 256, 512, 1, 6, 6)]),
        ("netcnnaud", [*sound, (18, 256, 512, 5, 4)]),
    ):
        for index, i, o, *window in layers:
            keys |= conv(f"{tower}.{index}", i, o, *window) | norm(f"{tower}.{index + 1}", o)
    for head in ("netfcaud", "netfclip"):
        keys |= linear(f"{head}.0", 512, 512) | norm(f"{head}.1", 512) | linear(f"{head}.3", 512, 1024)
    return keys


def depth_keys():
    keys = conv("conv1", 71, 64, 7, 7, bias=False) | norm("bn1", 64)
    i = 64
    for stage, (number, width) in enumerate(((3, 64), (8, 128), (36, 256), (3, 512)), 1):
        for block in range(number):
            key = f"layer{stage}.{block}"
            for n, (a, b, k) in enumerate(((i, width, 1), (width, width, 3), (width, 4 * width, 1)), 1):
                keys |= conv(f"{key}.conv{n}", a, b, k, k, bias=False) | norm(f"{key}.bn{n}", b)
            if block == 0:
                keys |= conv(f"{key}.downsample.0", i, 4 * width, 1, 1, bias=False)
                keys |= norm(f"{key}.downsample.1", 4 * width)
            i = 4 * width
    return keys | linear("fc", 2048, 68)


@pytest.mark.parametrize(
    "keys, convert, place, key",
    [
        (fan_keys, fan.convert, ("m2", "b1_3", "conv2"), "m2.b1_3.conv2"),
        (depth_keys, fan.convert_depth, ("trunk", "layer3_17", "conv2"), "layer3.17.conv2"),
        (s3fd_fan_keys, s3fd.convert, ("conv4_2",), "conv4_2"),
        (s3fd_syncnet_keys, lambda d: s3fd.convert(d, "syncnet"), ("conv6_2_mbox_loc",), "loc.4"),
        (arcface_keys, arcface.convert, ("body_20", "res_layer_5", "fc1"), "body.20.res_layer.5.fc1"),
        (syncnet_keys, syncnet.convert, ("netcnnlip_0",), "netcnnlip.0"),
    ],
)
def test_published_keys_convert(keys, convert, place, key):
    published = {name: np.zeros(shape, np.float32) for name, shape in keys().items()}
    kernel = np.random.default_rng(0).standard_normal(published[f"{key}.weight"].shape).astype(np.float32)
    published[f"{key}.weight"] = kernel
    tree = convert(published)["params"]
    for name in place:
        tree = tree[name]
    np.testing.assert_array_equal(tree["kernel"], np.moveaxis(kernel, (1, 0), (-2, -1)))
    del published[f"{key}.weight"]
    published["stray.weight"] = np.zeros(3, np.float32)
    with pytest.raises(CheckpointError, match="1 missing.*unexpected: stray.weight"):
        convert(published)


def test_inception_keys():
    tree = inception.abstract()
    for key, shape in {
        "Conv2d_1a_3x3.conv.weight": (3, 3, 3, 32),
        "Mixed_5b.branch5x5_2.conv.weight": (5, 5, 48, 64),
        "Mixed_6c.branch7x7dbl_4.conv.weight": (7, 1, 160, 160),
        "Mixed_7a.branch7x7x3_4.bn.running_var": (192,),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (3, 1, 384, 384),
        "Mixed_7c.branch_pool.bn.weight": (192,),
        "fc.weight": (2048, 1008),
    }.items():
        leaf = tree
        for name in locate(key, tree):
            leaf = leaf[name]
        assert leaf.shape == shape, key


@pytest.mark.parametrize("net", lpips.NETS)
def test_lpips_keys(net):
    alex = [(0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3)]
    trunk, widths = [(*row, 3) for row in VGG], (64, 128, 256, 512, 512)
    if net == "alex":
        trunk, widths = alex, (64, 192, 384, 256, 256)
    published = {"classifier.1.weight": (9, 9)}
    for index, i, o, k in trunk:
        published |= conv(f"features.{index}", i, o, k, k)
    for i, width in enumerate(widths):
        published[f"lin{i}.model.1.weight"] = (1, width, 1, 1)
    arrays = {key: np.full(shape, 0.5, np.float32) for key, shape in published.items()}
    assert count(lpips.convert(arrays, net), "params") == count(lpips.abstract(net), "params")
    del arrays["features.10.bias"]
    with pytest.raises(CheckpointError, match="missing: params/"):
        lpips.convert(arrays, net)
