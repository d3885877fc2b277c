"""Published checkpoints into our variables and back: small networks, keys written down as the published code names them."""

import re

import jax
import numpy as np
import pytest

from talkbench import config as configs
from talkbench.methods.pcavs import convert, networks, published
from talkbench.methods.pcavs.modules import modules
from talkbench.weights.torch_layout import CheckpointError, abstract_variables, entry

RNG = np.random.default_rng(0)


def tensor(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def norm(key, width):
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{key}.{name}": tensor(width) for name in names} | {f"{key}.num_batches_tracked": np.int64(3)}


def linear(key, out, width, *window, bias=True):
    made = {f"{key}.weight": tensor(out, width, *window)}
    return made | ({f"{key}.bias": tensor(out)} if bias else {})


def generator(style=6, widths=(8, 4), start=7):
    levels = len(widths) - 1
    ins = [widths[0], *(w for i in range(levels) for w in (widths[i], widths[i + 1]))]
    outs = [widths[0], *(w for w in widths[1:] for _ in range(2))]
    names = ["conv1", *(f"convs.{i}" for i in range(2 * levels))]
    state = {"input.input": tensor(1, widths[0], start, start)}
    for i in range(1, 3):
        state |= linear(f"style.{i}", style, style)
    for j, (name, a, b) in enumerate(zip(names, ins, outs)):
        state[f"{name}.conv.weight"] = tensor(1, b, a, 3, 3)
        state |= linear(f"{name}.conv.modulation", a, style)
        state |= {f"{name}.noise.weight": tensor(1), f"{name}.activate.bias": tensor(1, b, 1, 1)}
        side = start * 2 ** ((j + 1) // 2)
        state[f"noises.noise_{j}"] = tensor(1, 1, side, side)
        if j % 2:
            state[f"{name}.conv.blur.kernel"] = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / np.float32(16)
    for i, width in enumerate(widths):
        name = f"to_rgbs.{i - 1}" if i else "to_rgb1"
        state |= {f"{name}.bias": tensor(1, 3, 1, 1), f"{name}.conv.weight": tensor(1, 3, width, 1, 1)}
        state |= linear(f"{name}.conv.modulation", width, style)
        if i:
            state[f"{name}.upsample.kernel"] = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / np.float32(16)
    return state


def audio(classes=5):
    state = linear("model.conv1", 8, 1, 3, 3) | norm("model.bn1", 8)
    for stage, (before, width) in enumerate(((8, 8), (8, 16)), 1):
        key = f"model.layer{stage}.0"
        state |= linear(f"{key}.conv1", width, before, 3, 3, bias=False) | norm(f"{key}.bn1", width)
        state |= linear(f"{key}.conv2", width, width, 3, 3, bias=False) | norm(f"{key}.bn2", width)
        state |= linear(f"{key}.se.fc.0", width // 8, width) | linear(f"{key}.se.fc.2", width, width // 8)
        if before != width:
            state |= linear(f"{key}.downsample.0", width, before, 1, 1, bias=False)
            state |= norm(f"{key}.downsample.1", width)
    state |= linear("model.attention.0", 4, 16 * 40, 1) | norm("model.attention.2", 4)
    state |= linear("model.attention.3", 16 * 40, 4, 1)
    return state | linear("model.fc", 12, 16 * 40) | linear("fc", classes, 12)


def test_generator_there_and_back():
    state = generator()
    part = convert.load_part("G", {f"module.{key}": value for key, value in state.items()})
    assert part.network == networks.Generator((8, 4), 7, mapping_layers=2)
    params = part.variables["params"]
    assert "style" not in params
    weight = state["convs.0.conv.weight"]
    assert params["convs_0"]["conv"]["kernel"][2, 1, 5, 3] == weight[0, 3, 5, 2, 1]
    np.testing.assert_array_equal(params["convs_1"]["noise_strength"], state["convs.1.noise.weight"])
    np.testing.assert_array_equal(params["to_rgbs_0"]["bias"], state["to_rgbs.0.bias"].ravel())
    np.testing.assert_array_equal(params["input"][0, :, :, 2], state["input.input"][0, 2])
    noise = part.variables["batch_stats"]["noise_2"]
    np.testing.assert_array_equal(noise[0, :, :, 0], state["noises.noise_2"][0, 0])
    rules = convert.RULES["G"]
    for key in ("conv1.conv.modulation.weight", "to_rgb1.conv.modulation.bias"):
        np.testing.assert_array_equal(entry(part.variables, key, rules), state[key])
    mapped = convert.load_part("G", state, style_mlp=True).variables
    np.testing.assert_array_equal(entry(mapped, "style.2.weight", rules), state["style.2.weight"])


def test_audio_encoder_there_and_back():
    state = audio()
    part = convert.load_part("A_sync", state)
    assert part.network == networks.AudioEncoder(outputs=12, stages=(1, 1), widths=(8, 16), attention=4)
    for key, value in state.items():
        if "num_batches" not in key and not key.startswith("fc."):
            np.testing.assert_array_equal(entry(part.variables, key), value, err_msg=key)
    assert "fc" in convert.load_part("A_sync", state, num_classes=5).variables["params"]


def test_wrong_checkpoints_are_refused():
    state = generator()
    with pytest.raises(CheckpointError, match="no network A_sync of PC-AVS"):
        convert.load_part("A_sync", state)
    with pytest.raises(CheckpointError, match="no part 'B'"):
        convert.load_part("B", state)
    with pytest.raises(CheckpointError, match="latest_net_E.pth, latest_net_V.pth"):
        convert.load({"G": state}, need=("G", "E", "V"))
    with pytest.raises(CheckpointError, match="unexpected: extra.weight"):
        convert.load_part("G", {**state, "extra.weight": tensor(2, 2)})
    broken = {key: value for key, value in state.items() if key != "conv1.noise.weight"}
    with pytest.raises(CheckpointError, match="1 missing: params/conv1/noise_strength"):
        convert.load_part("G", broken)
    with pytest.raises(CheckpointError, match=r"not the filter \[1, 3, 3, 1\]"):
        convert.load_part("G", {**state, "convs.0.conv.blur.kernel": np.ones((4, 4), np.float32)})
    with pytest.raises(CheckpointError, match="of another size"):
        convert.load_part("G", state, networks.Generator((8, 6), 7))


def test_four_files_become_weights():
    sizes = {
        "non_identity.features": "12", "non_identity.mouth_dim": "4", "non_identity.pose_dim": "2",
        "non_identity.fan_features": "16",
        "identity.stages": "(1,1,1,1)", "identity.width": "8", "identity.base_width": "32",
        "identity.groups": "2", "identity.features": "8",
        "identity.num_classes": "3", "audio.stages": "(1,1)", "audio.widths": "(8,16)", "audio.attention": "4",
        "generator.widths": "(8,4)",
    }  # fmt: skip
    config = configs.load(
        "pcavs", "paper", {"data.size": "14"} | {f"model.{key}": value for key, value in sizes.items()}
    )
    nets = modules(config)
    state = {"A_sync": audio(), "G": generator(style=14)}
    shapes = {"E": (1, 64, 64, 3), "V": (1, 64, 64, 3)}
    wanted = {
        name: jax.tree.map(lambda x: tensor(*x.shape), abstract_variables(nets[name].init, shape))
        for name, shape in shapes.items()
    }
    leaves = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    for name, variables in wanted.items():
        state[name] = {}
        for path, _ in jax.tree_util.tree_leaves_with_path(variables):
            *names, leaf = [part.key for part in path][1:]
            key = ".".join([*(re.sub(r"_(\d+)$", r".\1", n) for n in names), leaves.get(leaf, leaf)])
            state[name][key] = entry(variables, key)
    contents = {f"checkpoints/demo/latest_net_{name}.pth": arrays for name, arrays in state.items()}
    made = published.published(config, contents)["generator"]
    assert set(made["params"]) == {"E", "V", "A_sync", "G"}
    for name, variables in wanted.items():
        jax.tree.map(np.testing.assert_array_equal, made["params"][name], variables["params"])
    with pytest.raises(CheckpointError, match="lacks latest_net_V.pth"):
        published.published(config, {path: state for path, state in contents.items() if "net_V" not in path})
