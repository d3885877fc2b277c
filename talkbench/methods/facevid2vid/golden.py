"""How to compute each case of face-vid2vid's golden files (see `talkbench.weights.golden`).

Every function takes a case and its networks' published state dicts, loads them as a real checkpoint is
loaded, and returns arrays in the published layout. Sizes come from the state dicts and the inputs, so files
of other sizes pass through the same code.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from talkbench.evaluators import hopenet
from talkbench.methods.facevid2vid import equivariance, losses, motion, networks
from talkbench.methods.facevid2vid import pose as posing
from talkbench.methods.facevid2vid.convert import RULES, load_part
from talkbench.nn.blocks import BottleneckBlock, DownBlock, ResBlock, SameBlock, UpBlock
from talkbench.nn.resize import gaussian_downsample, gaussian_kernel, resize_linear, upsample_nearest
from talkbench.nn.spade import SpadeBlock
from talkbench.nn.vgg import VGG, imagenet_normalize
from talkbench.nn.warp import coordinate_grid, grid_sample
from talkbench.weights.golden import Case, Weights
from talkbench.weights.torch_layout import abstract_variables, convert, entry
from talkbench.weights.vgg import convert_vgg

Arrays = dict[str, Any]


def _last(x: np.ndarray) -> np.ndarray:
    """Channels first -> channels last."""
    return np.moveaxis(x, 1, -1)


def _first(x: Any) -> np.ndarray:
    """Channels last -> channels first."""
    return np.moveaxis(np.asarray(x), -1, 1)


def _nested(inputs: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The inputs `name/...` as a dict."""
    return {
        key.removeprefix(name + "/"): value for key, value in inputs.items() if key.startswith(name + "/")
    }


def _apply(network: nn.Module, variables: Mapping, *inputs, stages: Mapping[str, str] | None = None):
    """A jitted call -> (output, {name: intermediate array}).

    `stages` is {name: path of a submodule whose output is wanted, or of an array that the network sows}.
    """
    paths = {path: name for name, path in (stages or {}).items()}

    def wanted(module, method):
        return method == "__call__" and "/".join(module.path) in paths

    @jax.jit
    def run(variables, *inputs):
        output, state = network.apply(
            variables, *inputs, mutable=["intermediates"], capture_intermediates=wanted
        )
        leaves = jax.tree_util.tree_leaves_with_path(state.get("intermediates", {}))
        made = {}
        for path, value in leaves:
            names = [part.key for part in path if hasattr(part, "key")]
            name = "/".join(names[:-1] if names[-1] == "__call__" else names)
            if name in paths:
                made[paths[name]] = value
        return output, made

    return run(variables, *inputs)


def _train(network: nn.Module, variables: Mapping, *inputs) -> tuple[Any, dict]:
    """A jitted call in train mode -> (output, new statistics)."""

    @jax.jit
    def run(variables, *inputs):
        return network.apply(variables, *inputs, train=True, mutable=["batch_stats"])

    return run(variables, *inputs)


def _after(case: Case, state: Mapping, rules=()) -> Arrays:
    """The outputs `after/KEY`: statistics after a step, by published key."""
    keys = [key for key in case.outputs if key.startswith("after/")]
    return {key: entry(state, key.removeprefix("after/"), rules) for key in keys}


# Operations


def grid_samples(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    x, grid = _last(inputs["input"]), inputs["grid"]
    made = {}
    for key in case.outputs:
        padding, corners = key.rsplit("_A", 1)
        made[key] = _first(grid_sample(x, grid, padding, align_corners=corners == "1"))
    return made


def interpolate(case: Case, weights: Weights) -> Arrays:
    x = _last(case.inputs()["input"])
    sizes = {key: output.shape[2:] for key, output in case.outputs.items()}
    return {
        "near_122": _first(upsample_nearest(x, (1, 2, 2))),
        "tri": _first(resize_linear(x, sizes["tri"])),
        "bil": _first(resize_linear(x[:, 0], sizes["bil"])),
    }


def antialias(case: Case, weights: Weights) -> Arrays:
    x = _last(case.inputs()["input"])
    made = {}
    for key in case.outputs:
        kind, scale = key.split("_")
        kernel = gaussian_kernel(float(scale))
        made[key] = (
            np.outer(kernel, kernel) if kind == "kernel" else _first(gaussian_downsample(x, float(scale)))
        )
    return made


def gaussians(case: Case, weights: Weights) -> Arrays:
    size = case.outputs["out"].shape[2:]
    heat = networks.gaussian_heatmaps(case.inputs()["mean"], size)
    return {"out": _first(heat), "grid": coordinate_grid(size)}


def _block(name: str, state: Mapping[str, np.ndarray]) -> nn.Module:
    """The block that a state dict belongs to, by the network's name."""
    if "same" in name or "down" in name or "up" in name:
        out, _, *window = state["conv.weight"].shape
        if "same" in name:
            return SameBlock(out, len(window), window[0], slope=0.01)  # as the generator's `third`
        return DownBlock(out, len(window)) if "down" in name else UpBlock(out, len(window))
    if "res" in name:
        return ResBlock(state["conv1.weight"].ndim - 2)
    if "bottleneck" in name:
        return BottleneckBlock(2 if "skip.weight" in state else 1)
    return SpadeBlock(state["conv_1.weight_orig"].shape[0], state["norm_0.mlp_shared.0.weight"].shape[0])


def block(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    state = weights[name]
    network = _block(name, state)
    inputs = [_last(x) for x in case.inputs().values()]
    abstract = abstract_variables(network.init, *(x.shape for x in inputs))
    variables = convert(state, abstract, name=name)
    if case.mode == "train":
        out, after = _train(network, variables, *inputs)
        return {"out": _first(out), **_after(case, after)}
    return {"out": _first(_apply(network, variables, *inputs)[0])}


# Pose and motion


def rotation(case: Case, weights: Weights) -> Arrays:
    angles = case.inputs()
    return {
        "R": posing.rotation_matrix(**angles),
        "R_beta": posing.rotation_matrix(**angles, rotation="beta"),
    }


def _free_view(key: str) -> dict[str, float]:
    """Angles named in an output's key: `kp_free_yaw20`, `kp_free_p15_r-10`."""
    names = {"y": "yaw", "p": "pitch", "r": "roll"}
    found = re.findall(r"(yaw|pitch|roll|y|p|r)(-?\d+(?:\.\d+)?)", key.removeprefix("kp_free_"))
    given = {names[name[0]]: float(value) for name, value in found}
    if len(given) == 1 and not key.endswith("_only"):  # the other two were given too, as 0
        given = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0} | given
    return given


def keypoint_transformation(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    canonical, pose = inputs["kp_canonical"], _nested(inputs, "he")
    made = {f"{name}_deg": posing.degrees(pose[name]) for name in ("yaw", "pitch", "roll")}
    made["R"] = posing.pose_rotation(pose)
    made["kp"] = posing.transform_keypoints(canonical, pose)
    first = {name: value[:1] for name, value in pose.items()}
    for key in case.outputs:
        if key.startswith("kp_free_"):
            made[key] = posing.transform_keypoints(canonical[:1], first, **_free_view(key))
    return made


def sadtalker_keypoint_transformation(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    canonical, pose = inputs["kp_canonical"], _nested(inputs, "he")
    made = {
        "kp": posing.transform_keypoints(canonical, pose, vertical_only=True),
        "kp_wo_exp": posing.transform_keypoints(canonical, pose, vertical_only=True, with_expression=False),
    }
    for key in case.outputs:
        if key.startswith("kp_yaw_in"):
            yaw = inputs["yaw_in"]
            made[key] = posing.transform_keypoints(canonical, pose, yaw=yaw, vertical_only=True)
    return made


def normalize_keypoints(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    source, driving, initial = (inputs[f"kp_{name}"] for name in ("source", "driving", "driving_initial"))
    scale = motion.adapt_scale(source[0], initial[0])
    return {
        "absolute": driving,
        "relative": motion.relative_keypoints(source, driving, initial),
        "relative_scaled": motion.relative_keypoints(source, driving, initial, scale),
        "hull_volumes": np.array([motion.hull_volume(source[0]), motion.hull_volume(initial[0])]),
    }


def _transform(inputs: Mapping[str, np.ndarray], batch: int | None = None) -> equivariance.Transform:
    """The thin-plate-spline of a case; `batch` keeps the first items only."""
    theta, control = inputs["theta_noise"][:batch], inputs["control_params"][:batch]
    return equivariance.from_noise(theta, control.reshape(len(control), -1))


def equivariance_transform(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    transform = _transform(inputs)
    return {
        "frame": _first(equivariance.warp_frames(transform, _last(inputs["frame"]))),
        "points": equivariance.warp_points(transform, inputs["points"]),
        "jacobian": equivariance.jacobian(transform, inputs["points"]),
    }


def sparse_motion_rotation(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    source, driving = (
        posing.rotation_matrix(*inputs[f"angles_{name}"][:, None]) for name in ("source", "driving")
    )
    flow = networks.sparse_motions(
        inputs["kp_source"],
        inputs["kp_driving"],
        case.outputs["flow"].shape[2:5],
        posing.relative_rotation(source, driving),
    )
    return {"flow": np.moveaxis(np.asarray(flow), -2, 1)}


# Losses

_TERMS = {  # name of a term in golden files -> ours
    "perceptual": "perceptual",
    "gen_gan": "gan",
    "feature_matching": "feature_matching",
    "equivariance_value": "equivariance",
    "keypoint": "keypoint",
    "headpose": "headpose",
    "expression": "expression",
}


def _weighted(terms: Mapping[str, jax.Array]) -> Arrays:
    return {theirs: losses.PUBLISHED_WEIGHTS[ours] * terms[ours] for theirs, ours in _TERMS.items()}


def _generator_terms(
    vgg: VGG,
    discriminator: nn.Module,
    frozen: Mapping,
    driving: jax.Array,
    prediction: jax.Array,
    poses: Mapping[str, Mapping[str, jax.Array]],
    keypoints: Mapping[str, jax.Array],
    transform: equivariance.Transform,
) -> Arrays:
    real = discriminator.apply(frozen["discriminator"], driving)
    fake = discriminator.apply(frozen["discriminator"], prediction)
    pose = poses["driving"]
    return {
        "perceptual": losses.perceptual(vgg, frozen["vgg19"], prediction, driving),
        "gan": losses.generator_gan(fake),
        "feature_matching": losses.feature_matching(real, fake),
        "equivariance": losses.equivariance(keypoints["driving"], keypoints["transformed"], transform),
        "keypoint": losses.keypoint_prior(keypoints["driving"]),
        "headpose": losses.headpose(posing.angles(pose), hopenet.estimate(frozen["hopenet"], driving)),
        "expression": losses.expression(pose["exp"]),
    }


def all_losses(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    driving, prediction = _last(inputs["driving"]), _last(inputs["prediction"])
    poses = {name: _nested(inputs, f"he_{name}") for name in ("source", "driving", "transformed")}
    keypoints = {
        name: posing.transform_keypoints(inputs["kp_canonical"], pose) for name, pose in poses.items()
    }
    transform = _transform(inputs)
    vgg = VGG()
    discriminator = load_part("discriminator", weights.pop("discriminator"))
    frozen = {
        "vgg19": convert_vgg(weights.pop("vgg19"), vgg),
        "hopenet": hopenet.convert_hopenet(weights.pop("hopenet")),
        "discriminator": discriminator.variables,
    }
    disc = discriminator.network

    @jax.jit
    def terms(frozen, driving, prediction, poses, keypoints):
        return _generator_terms(vgg, disc, frozen, driving, prediction, poses, keypoints, transform)

    made = _weighted(terms(frozen, driving, prediction, poses, keypoints))
    table = jax.jit(lambda v, a, b: losses.perceptual_terms(vgg, v, a, b))(
        frozen["vgg19"], prediction, driving
    )
    for row, scale in zip(np.asarray(table), losses.PYRAMID, strict=True):
        made |= {f"vgg_l1/{scale:g}/{i}": value for i, value in enumerate(row)}
    for key, smooth in (("hopenet_deg", False), ("hopenet_deg_antialias_resize", True)):
        angles = jax.jit(lambda v, x, smooth=smooth: hopenet.estimate(v, x, antialias=smooth))
        made[key] = np.stack(angles(frozen["hopenet"], driving))
    made |= {f"kp_{name}": value for name, value in keypoints.items()}
    made["transformed_frame"] = _first(equivariance.warp_frames(transform, driving))
    score = jax.jit(disc.apply)
    real, fake = score(frozen["discriminator"], driving), score(frozen["discriminator"], prediction)
    made["disc_gan"] = losses.discriminator_gan(real, fake)
    made["disc_gan_ls"] = losses.discriminator_gan(real, fake, "ls")
    made["gen_gan_ls"] = losses.generator_gan(fake, "ls")
    return made


def keypoint_prior(case: Case, weights: Weights) -> Arrays:
    keypoints = case.inputs()["kp_driving"]

    def total(x):
        return losses.PUBLISHED_WEIGHTS["keypoint"] * losses.keypoint_prior(x)

    return {
        "spread": losses.keypoint_spread(keypoints),
        "depth": losses.keypoint_depth(keypoints),
        "total": total(keypoints),
        "grad": jax.grad(total)(keypoints),
    }


# Networks


def discriminator(case: Case, weights: Weights) -> Arrays:
    part = load_part("discriminator", weights["discriminator"])
    ((features, score),), _ = _apply(part.network, part.variables, _last(case.inputs()["prediction_1"]))
    return {f"feature_{i}": _first(x) for i, x in enumerate(features)} | {"prediction_map": _first(score)}


def discriminator_train(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    replaced = "discs.1.down_blocks.1.conv.weight_u"
    state = dict(weights["discriminator"])
    state[replaced] = inputs["disc_u"] / np.linalg.norm(inputs["disc_u"])
    part = load_part("discriminator", state)
    ((_, score),), after = _train(part.network, part.variables, _last(inputs["prediction_1"]))
    rules = RULES["discriminator"]
    return {
        "prediction_map": _first(score),
        "u": entry(after, replaced, rules),
        "v": entry(after, replaced.replace("weight_u", "weight_v"), rules),
    }


def hopenet_case(case: Case, weights: Weights) -> Arrays:
    variables = hopenet.convert_hopenet(weights["hopenet"])
    logits, _ = _apply(hopenet.Hopenet(), variables, _last(case.inputs()["x"]))
    made = dict(zip(("yaw", "pitch", "roll"), logits, strict=True))
    return {**made, "degrees": np.stack([hopenet.degrees(x) for x in logits])}


def vgg19(case: Case, weights: Weights) -> Arrays:
    network = VGG()
    variables = convert_vgg(weights["vgg19"], network)
    features, _ = _apply(network, variables, imagenet_normalize(_last(case.inputs()["x"])))
    return {tap: _first(x) for tap, x in features.items()}


def kp_detector(case: Case, weights: Weights) -> Arrays:
    part = load_part("kp_detector", weights["kp_detector"])
    # the same weights without the reduction of the image: a setting, not a part of the checkpoint
    network = part.network.clone(scale_factor=1.0) if "scale1" in case.name else part.network
    stages = {"down": "down", "feature": f"predictor_up_blocks_{network.num_blocks - 1}", "logits": "kp"}
    keypoints, made = _apply(network, part.variables, _last(case.inputs()["image"]), stages=stages)
    return {"kp": keypoints, **{name: _first(x) for name, x in made.items()}}


def he_estimator(case: Case, weights: Weights) -> Arrays:
    part = load_part("he_estimator", weights["he_estimator"])
    image = _last(case.inputs()["image"])
    if case.mode == "train":
        pose, after = _train(part.network, part.variables, image)
        return {**pose, **_after(case, after, RULES["he_estimator"])}
    stages = {"maxpool": "maxpool"}
    for level, count in enumerate(part.network.blocks):
        stages[f"block{2 * level}"] = f"block{2 * level}"
        stages[f"block{2 * level + 1}"] = f"block{2 * level + 1}_{count - 1}"
    pose, made = _apply(part.network, part.variables, image, stages=stages)
    return {**pose, **{name: _first(x) for name, x in made.items()}}


def _generate(case: Case, weights: Weights) -> tuple[dict, dict]:
    """The generator's output and its stages, by the names that golden files give them, channels last."""
    (name,) = case.networks
    network, variables = load_part("generator", weights.pop(name))
    stages = {
        "first": "first",
        "second": "second",
        "dm_compressed_before_relu": "dense_motion_network/norm",
        "dm_hourglass": "dense_motion_network/hourglass",
        "dm_mask_logits": "dense_motion_network/mask",
        "warped_3d": "warped_3d",
        "fourth": "fourth",
        "resblocks_2d": f"resblocks_2d_{network.num_resblocks - 1}",
        "decoder.fc": "spade_decoder/fc",
    }
    for i in range(network.spade_middle):
        stages[f"decoder.G_middle_{i}"] = f"spade_decoder/G_middle_{i}"
    for i in range(network.num_down_blocks):
        stages[f"decoder.up_{i}"] = f"spade_decoder/up_{i}"
        stages[f"up_blocks.{i}"] = f"up_blocks_{i}"
    stages = {key: path for key, path in stages.items() if key in case.outputs or key == "dm_mask_logits"}
    inputs = case.inputs()
    keypoints = (inputs["kp_source"], inputs["kp_driving"])
    return _apply(network, variables, _last(inputs["source_image"]), *keypoints, stages=stages)


def generator(case: Case, weights: Weights) -> Arrays:
    output, stages = _generate(case, weights)
    return {
        "prediction": _first(output["prediction"]),
        "feature_3d": _first(output["volume"]),
        "mask": _first(output["mask"]),
        "deformation": output["deformation"],
        "occlusion_map": _first(output["occlusion"]),
        "sparse_motions": np.moveaxis(np.asarray(output["sparse_motions"]), -2, 1),
        "deformed_features": np.moveaxis(np.asarray(output["deformed"]), (-2, -1), (1, 2)),
        "heatmaps": _first(output["heatmaps"])[:, :, None],
        **{name: _first(x) for name, x in stages.items()},
    }


def sadtalker_mask(case: Case, weights: Weights) -> Arrays:
    output, stages = _generate(case, weights)
    mask = networks.flow_mask(8 * stages["dm_mask_logits"], 1e-3)
    return {
        "mask": _first(mask),
        "deformation": networks.combine_flows(mask, output["sparse_motions"]),
        "fraction_zeroed": (mask == 0).mean(),
    }


def sadtalker_mapping(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    part = load_part("mapping", weights[name])
    return _apply(part.network, part.variables, case.inputs()["x"].transpose(0, 2, 1))[0]


def full_step(case: Case, weights: Weights) -> Arrays:
    """The whole model: forward, every loss, gradients of the three networks that learn from the sum."""
    (generator_name,) = (name for name in case.networks if name.startswith("gen"))
    parts = {
        "generator": load_part("generator", weights.pop(generator_name)),
        "kp_detector": load_part("kp_detector", weights.pop("kp_detector")),
        "he_estimator": load_part("he_estimator", weights.pop("he_estimator")),
    }
    disc = load_part("discriminator", weights.pop("discriminator"))
    vgg = VGG()
    frozen = {
        "discriminator": disc.variables,
        "vgg19": convert_vgg(weights.pop("vgg19"), vgg),
        "hopenet": hopenet.convert_hopenet(weights.pop("hopenet")),
    }
    params = {name: part.variables["params"] for name, part in parts.items()}
    stats = {name: part.variables["batch_stats"] for name, part in parts.items()}
    modules = {name: part.network for name, part in parts.items()}
    inputs = case.inputs()
    source, driving = _last(inputs["source"]), _last(inputs["driving"])
    transform = _transform(inputs, len(source))

    def loss(params, stats, frozen, source, driving):
        def call(name, *arguments):
            return modules[name].apply({"params": params[name], "batch_stats": stats[name]}, *arguments)

        canonical = call("kp_detector", source)
        frames = {
            "source": source,
            "driving": driving,
            "transformed": equivariance.warp_frames(transform, driving),
        }
        poses = {name: call("he_estimator", frame) for name, frame in frames.items()}
        keypoints = {name: posing.transform_keypoints(canonical, pose) for name, pose in poses.items()}
        prediction = call("generator", source, keypoints["source"], keypoints["driving"])["prediction"]
        terms = _generator_terms(vgg, disc.network, frozen, driving, prediction, poses, keypoints, transform)
        weighted = _weighted(terms)
        total = sum(weighted.values())
        return total, ({**weighted, "total": total}, keypoints, prediction)

    wanted = [key.split("/", 2)[1:] for key in case.outputs if key.startswith("grad/")]

    @jax.jit
    def step(params, stats, frozen, source, driving):
        (_, made), gradients = jax.value_and_grad(loss, has_aux=True)(params, stats, frozen, source, driving)
        return made, gradients

    (terms, keypoints, prediction), gradients = step(params, stats, frozen, source, driving)
    made = {f"loss/{name}": value for name, value in terms.items()}
    made |= {"kp_source": keypoints["source"], "kp_driving": keypoints["driving"]}
    made |= {"transformed_kp": keypoints["transformed"], "prediction": _first(prediction)}
    for network, key in wanted:
        made[f"grad/{network}/{key}"] = entry({"params": gradients[network]}, key, RULES[network])
    return made


CASES: dict[str, Callable[[Case, Weights], Arrays]] = {
    "grid_sample_2d": grid_samples,
    "grid_sample_3d": grid_samples,
    "interpolate": interpolate,
    "antialias": antialias,
    "kp2gaussian": gaussians,
    **{
        name + suffix: block
        for name in (
            "block_same2d",
            "block_down2d",
            "block_up3d",
            "block_res3d",
            "block_bottleneck_s2",
            "block_spade",
        )
        for suffix in ("", "_train")
    },
    "rotation": rotation,
    "keypoint_transformation": keypoint_transformation,
    "normalize_kp": normalize_keypoints,
    "equivariance_transform": equivariance_transform,
    "losses": all_losses,
    "keypoint_prior": keypoint_prior,
    "discriminator": discriminator,
    "discriminator_train": discriminator_train,
    "hopenet": hopenet_case,
    "vgg19": vgg19,
    "kp_detector": kp_detector,
    "kp_detector_scale1": kp_detector,
    "he_estimator": he_estimator,
    "he_estimator_train": he_estimator,
    "gen_spade": generator,
    "gen_plain": generator,
    "sadtalker_mask": sadtalker_mask,
    "sparse_motion_rotation": sparse_motion_rotation,
    "sadtalker_mapping_70": sadtalker_mapping,
    "sadtalker_mapping_73": sadtalker_mapping,
    "sadtalker_keypoint_transformation": sadtalker_keypoint_transformation,
    "full_step": full_step,
}
