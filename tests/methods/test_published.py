"""Published checkpoints through `talkbench weights import --method`: small networks in the published layouts."""

import pickle
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from talkbench import config as configs
from talkbench import methods
from talkbench.cli.main import main
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.methods.method import Driving
from talkbench.weights import checkpoint, golden
from talkbench.weights.torch_layout import abstract_variables, entry

GOLDEN = Path(__file__).parents[1] / "golden"


def drawn(network, *shapes):
    """Random variables of a network, positive where they are variances."""
    rng = np.random.default_rng(0)
    abstract = abstract_variables(network.init, *shapes)
    return jax.tree.map(lambda x: np.abs(rng.normal(0, 0.1, x.shape)).astype(np.float32) + 0.1, abstract)


def keys_of(variables):
    """The published keys of a network whose modules are named after them."""
    leaves = {
        "kernel": "weight",
        "transpose_kernel": "weight",
        "scale": "weight",
        "mean": "running_mean",
        "var": "running_var",
    }
    for path, _ in jax.tree_util.tree_leaves_with_path(variables):
        *names, leaf = [part.key for part in path][1:]
        yield ".".join([*(re.sub(r"_(\d+)$", r".\1", name) for name in names), leaves.get(leaf, leaf)])


def same(made, wanted):
    jax.tree.map(np.testing.assert_array_equal, made, wanted)


def imported(tmp_path, method, files, overrides, capsys, preset="paper"):
    """(variables, meta, config) of what the command wrote."""
    out = tmp_path / "made" / "weights.npz"
    flags = [f"--config.{key}={value}" for key, value in overrides.items()]
    words = [
        "weights",
        "import",
        "--method",
        method,
        *map(str, files),
        "--out",
        str(out),
        "--preset",
        preset,
        *flags,
    ]
    assert main(words) == 0
    assert f"eval --method {method} --checkpoint {out}" in capsys.readouterr().out
    tree, meta = checkpoint.load(out, "method", method)
    assert meta["data"]["name"] == "published" and set(meta["files"]) == {path.name for path in files}
    return tree, meta, configs.of_weights(meta)


FACEVID2VID = {
    "model.keypoint_detector.block_expansion": "2", "model.keypoint_detector.max_features": "8",
    "model.keypoint_detector.depth": "2",
    "model.estimator.widths": "(4,4,8,8,8)", "model.generator.block_expansion": "4", "model.generator.max_features": "8",
    "model.generator.volume_channels": "4", "model.generator.depth": "2", "model.generator.motion_expansion": "2",
    "model.generator.motion_max_features": "8", "model.generator.spade_widths": "(8,6,4)", "model.generator.spade_hidden": "4",
}  # fmt: skip


def test_facevid2vid(tmp_path, capsys):
    from talkbench.methods.facevid2vid import convert
    from talkbench.methods.facevid2vid.method import networks

    config, shapes = (
        configs.load("facevid2vid", "paper", FACEVID2VID),
        golden.read(GOLDEN / "facevid2vid_small.npz").networks,
    )
    nets, state, wanted = networks(config), {}, {}
    for theirs, ours, listed in (
        ("generator", "generator", "gen_spade"), ("kp_detector", "keypoint_detector", "kp_detector"),
        ("he_estimator", "estimator", "he_estimator"),
    ):  # fmt: skip
        wanted[ours] = drawn(nets[ours], *convert.example_shapes(nets[ours]))
        for key in shapes[listed].shapes:
            if not key.endswith("num_batches_tracked") and key != "down.weight":
                state[f"{theirs}.{key}"] = entry(wanted[ours], key, convert.RULES[theirs])
    state["kp_detector.down.weight"] = np.zeros((3, 1, 13, 13), np.float32)
    np.savez(tmp_path / "vox.npz", **state)
    tree, *_ = imported(tmp_path, "facevid2vid", [tmp_path / "vox.npz"], FACEVID2VID, capsys)
    for ours, variables in wanted.items():
        same(tree["video"]["params"][ours], variables["params"])
        same(tree["video"]["stats"][ours], variables.get("batch_stats", {}))
    assert (
        main(
            [
                "weights",
                "import",
                "--method",
                "facevid2vid",
                str(tmp_path / "vox.npz"),
                "--out",
                str(tmp_path / "x.npz"),
            ]
        )
        == 1
    )
    said = capsys.readouterr().err
    assert (
        "vox.npz: the checkpoint's" in said
        and "the configuration says" in said
        and not (tmp_path / "x.npz").exists()
    )


def test_hdtf_follows_coefficients_alone(tmp_path, capsys):
    from talkbench.methods.hdtf import convert
    from talkbench.methods.hdtf.video_stage import network

    small = {
        "data.size": "32", "model.video.block_expansion": "4", "model.video.num_down_blocks": "1",
        "model.video.max_features": "8",
        "model.video.hourglass_expansion": "4", "model.video.hourglass_blocks": "2", "model.video.hourglass_max_features": "8",
        "model.video.num_bottleneck_blocks": "1",
    }  # fmt: skip
    net = network(configs.load("hdtf", "paper", small))
    wanted = drawn(net, *convert.example_shapes(net, {}))
    np.savez(tmp_path / "gvid.npz", **{f"module.{key}": entry(wanted, key) for key in keys_of(wanted)})
    tree, _, config = imported(tmp_path, "hdtf", [tmp_path / "gvid.npz"], small, capsys)
    assert config.model.video.colour_order == "bgr"
    same(tree["video"]["params"]["video"], wanted["params"])
    clip, generate = synthetic_clip(3, 0, 4, 32), methods.load("hdtf").generator(config, tree)
    given = Driving(
        frames=clip.frames, audio=clip.audio, pose=clip.pose, shape=clip.shape, expression=clip.expression
    )
    landmarks = clip.landmarks[0, :, :2]
    assert generate(clip.frames[0], given, driver="mesh", landmarks=landmarks).shape == (4, 32, 32, 3)
    with pytest.raises(ValueError, match="hold no G_ani, which was never published"):
        generate(clip.frames[0], given, landmarks=landmarks)


def test_atvgnet(tmp_path, capsys):
    from talkbench.methods.atvgnet import basis, convert
    from talkbench.methods.atvgnet.method import networks

    small = {
        "data.size": "32", "model.crop": "32", "model.detector": "synthetic", "model.normalisation": "plain",
        "model.boost": "none",
        "model.atnet.widths": "(2,2,2,4,4)", "model.atnet.dense": "(8,4)", "model.atnet.landmark_dense": "(4,4)",
        "model.atnet.hidden": "4", "model.vgnet.width": "2",
    }  # fmt: skip
    listed = golden.read(GOLDEN / "atvgnet_small.npz").networks
    nets = networks(configs.load("atvgnet", "paper", {**small, "model.vgnet.gru_axis": "batch"}))
    inputs = {"atnet": ((1, 6), (1, 1, 28, 12)), "vgnet": ((1, 32, 32, 3), (1, 1, 136), (1, 136))}
    files, wanted = [], {}
    for kind, name in (("atnet", "at_net"), ("vgnet", "vg_net")):
        wanted[kind] = drawn(nets[kind], *inputs[kind])
        keys = [key for key in listed[name].shapes if not key.endswith("num_batches_tracked")]
        files.append(tmp_path / f"{kind}.npz")
        np.savez(files[-1], **{f"module.{key}": entry(wanted[kind], key, convert.RULES) for key in keys})
    words = ["weights", "import", "--method", "atvgnet", *map(str, files), "--out", str(tmp_path / "x.npz")]
    assert main(words) == 1 and "pass --config.model.basis=FILE.npz" in capsys.readouterr().err
    np.savez(tmp_path / "codes.npz", **basis.to_arrays(basis.read("shipped")))
    small["model.basis"] = str(tmp_path / "codes.npz")
    tree, _, config = imported(tmp_path, "atvgnet", files[::-1], small, capsys)
    for kind, variables in wanted.items():
        same(tree[kind]["params"][kind], variables["params"])
        same(tree[kind]["stats"][kind], variables["batch_stats"])
    clip, generate = synthetic_clip(3, 0, 4, 32), methods.load("atvgnet").generator(config, tree)
    made = generate(clip.frames[0], Driving(audio=clip.audio), landmarks=clip.landmarks[0, :, :2])
    assert made.shape == (4, 32, 32, 3)
    flags = [f"--config.{key}={value}" for key, value in small.items()]
    for key, ours, theirs in (("model.codes", 5, 6), ("model.vgnet.hidden", 8, 16)):
        assert main([*words, *flags, f"--config.{key}={ours}"]) == 1
        assert f"pass --config.{key}={theirs}" in capsys.readouterr().err
    assert main([*words, f"--config.model.basis={tmp_path / 'codes.npz'}"]) == 1
    assert "pass --config.model.atnet.widths=(2, 2, 2, 4, 4)" in capsys.readouterr().err


def test_mistakes_have_one_line(tmp_path, capsys):
    words = ["weights", "import", "--method"]
    for name in ("notes.pth", "notes.txt"):
        (tmp_path / name).write_text("nothing")
    np.savez(tmp_path / "notes.npz", weight=np.zeros(3))
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    for method, file, text in (
        ("pcavs", tmp_path / "gone.pth", "gone.pth: cannot be opened"),
        ("pcavs", tmp_path / "notes.npz", "notes.npz: which network? name it as published"),
        ("makeittalk", tmp_path / "notes.txt", "notes.txt: no readable text file of numbers"),
        ("facevid2vid", tmp_path / "notes.pth", "notes.pth"),
        ("facevid2vid", tmp_path / "list.pkl", "list.pkl: holds a list, not the arrays"),
        ("nobody", tmp_path / "notes.pth", "no method 'nobody'"),
    ):
        assert main([*words, method, str(file), "--out", str(tmp_path / "x.npz")]) == 1
        said = capsys.readouterr().err
        assert text in said and said.count("\n") == 1
