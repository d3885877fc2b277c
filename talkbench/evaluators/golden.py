"""Golden cases of the published judges (`evalnets.npz`): {case: function(case, weights) -> {key: array}}.

Inputs and outputs have the published layout (channels first); everything else is read from the file's
manifest.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.data.mfcc import mfcc
from talkbench.evaluators import arcface, fan, hopenet, inception, lpips, s3fd, syncnet
from talkbench.metrics import sync
from talkbench.nn.vgg import VGG, imagenet_normalize
from talkbench.weights.vgg import convert_vgg


def _last(x: np.ndarray) -> jax.Array:
    """Channels first to last."""
    return jnp.moveaxis(jnp.asarray(x), 1, -1)


def _first(x: jax.Array) -> np.ndarray:
    return np.moveaxis(np.asarray(x), -1, 1)


def _only(case, weights) -> dict[str, np.ndarray]:
    """The state dict of a case with one network, not kept."""
    (name,) = case.networks
    return weights.pop(name)


def _jit(function: Callable, *arguments) -> Any:
    return jax.block_until_ready(jax.jit(function)(*arguments))


# Inception


def _inception(case, weights, prepare: Callable) -> dict[str, np.ndarray]:
    variables = inception.convert(_only(case, weights))
    out = _jit(lambda v, x: inception.Inception().apply(v, prepare(x)), variables, _last(case.inputs()["x"]))
    out["2048"] = out["pool3"]
    return {key: _first(value) for key, value in out.items()}


def _fid(case, weights):
    return _inception(case, weights, lambda x: 2 * inception.resize_linear(x, (299, 299)) - 1)


def _fid_299(case, weights):
    return _inception(case, weights, lambda x: 2 * x - 1)


def _fid_tf1(case, weights):
    return _inception(case, weights, inception.PREPARE["fid_tf1"])


def _resize(function: Callable) -> Callable:
    def run(case, weights):
        x = _last(case.inputs()["x"]).astype(jnp.float32)
        size = case.outputs["y"].shape[-2:]
        return {"y": _first(_jit(lambda x: function(x, size), x))}

    return run


def _resize_clean(case, weights):
    x = jnp.asarray(case.inputs()["x"])[None].astype(jnp.float32)  # this case is height, width, channels
    size = case.outputs["y"].shape[:2]
    return {"y": np.asarray(_jit(lambda x: inception.resize_clean(x, size), x))[0]}


# VGG and Hopenet


def _vgg(arch: str) -> Callable:
    def run(case, weights):
        network = VGG(arch, tuple(case.outputs))
        variables = convert_vgg(_only(case, weights), network)
        images = imagenet_normalize(_last(case.inputs()["x"]))
        return {name: _first(value) for name, value in _jit(network.apply, variables, images).items()}

    return run


def _hopenet(case, weights):
    variables = hopenet.convert_hopenet(_only(case, weights))
    logits = _jit(hopenet.Hopenet().apply, variables, imagenet_normalize(_last(case.inputs()["x"])))
    degrees = np.stack([hopenet.degrees(angle) for angle in logits], 1)
    return {**dict(zip(("yaw", "pitch", "roll"), logits, strict=True)), "degrees": degrees}


# LPIPS


def _lpips(net: str) -> Callable:
    def run(case, weights):
        variables = lpips.convert(_only(case, weights), net)
        a, b, c = (_last(case.inputs()[name]) for name in "abc")
        layers = jax.jit(lambda v, x, y: lpips.LPIPS(net).apply(v, x, y, layers=True))
        near, far = layers(variables, a, c), layers(variables, a, b)
        return {"near": near.sum(0), "far": far.sum(0), "near_layers": near}

    return run


# SyncNet


def _syncnet_towers(case, weights):
    variables, inputs = syncnet.convert(_only(case, weights)), case.inputs()
    lips = jnp.asarray(inputs["lip"]).transpose(0, 2, 3, 4, 1)
    network = syncnet.SyncNet()
    return {
        "lip": _jit(lambda v, x: network.apply(v, x, method="lip"), variables, lips),
        "lipfeat": _jit(lambda v, x: network.apply(v, x, method="lip_features"), variables, lips),
        "aud": _jit(lambda v, x: network.apply(v, x, method="sound"), variables, _last(inputs["aud"])),
    }


def _syncnet_clip(case, weights):
    variables, inputs = syncnet.convert(_only(case, weights)), case.inputs()
    frames, audio = np.moveaxis(inputs["frames"], 1, -1), inputs["audio"]
    width = case.outputs["mean_dist"].shape[0]  # 2 vshift + 1
    coefficients = mfcc(audio)
    windows = syncnet.window_count(len(frames), len(audio))
    video = syncnet.video_features(variables, frames, windows)
    sound = syncnet.audio_features(variables, coefficients, windows)
    found = sync.search(video, sound, width // 2)
    padded = np.pad(sound, ((width // 2, width // 2), (0, 0)))
    shifted = (padded[s : s + windows] for s in range(width))
    distances = [np.linalg.norm(video - other + sync.EPSILON, axis=1) for other in shifted]
    return {
        "mfcc": coefficients.T,
        "video_features": video,
        "audio_features": sound,
        "dists": np.stack(distances, 1),
        "mean_dist": found.mean_distance,
        "offset": found.offset,
        "confidence": found.lse_c,
        "min_distance": found.lse_d,
    }


# FAN


def _fan(case, weights):
    variables = fan.convert(_only(case, weights))
    maps = _jit(fan.FAN().apply, variables, _last(case.inputs()["x"]))
    return {f"hm{i}": _first(value) for i, value in enumerate(maps)}


def _fan_depth(case, weights):
    variables = fan.convert_depth(_only(case, weights))
    return {"z": _jit(fan.ResNetDepth().apply, variables, _last(case.inputs()["x"]))}


def _fan_decode(case, weights):
    inputs = case.inputs()
    points, scores = fan.peaks(np.moveaxis(inputs["heatmaps"], 1, -1))
    side = inputs["heatmaps"].shape[-1]
    image = np.trunc(fan.to_image(points, inputs["center"], float(inputs["scale"]), side))
    return {"preds": points, "preds_image": image, "scores": scores}


def _fan_crop(case, weights):
    inputs = case.inputs()
    centre, scale = fan.box_frame(inputs["box"])
    return {"center": centre, "scale": scale, "crop": fan.crop(inputs["image"], centre, scale)}


def _fan_image(case, weights):
    inputs, flat = case.inputs(), "depth" not in case.outputs
    variables = fan.convert(weights.pop("fan4"))
    depth = None if flat else fan.convert_depth(weights.pop("fan_depth"))
    options = {"flip": True, "batch": 1}
    image, box = inputs["image"], inputs["box"]
    points, scores = fan.landmarks(variables, image[None], box[None], depth_variables=depth, **options)
    maps = fan.heatmaps(variables, fan.crop(image, *fan.box_frame(box))[None], options["flip"])
    maps = np.asarray(maps)[0].reshape(-1, fan.POINTS)
    best = np.sort(maps, 0)[-2:]
    out = {"landmarks": points[0], "scores": scores[0], "margin": (best[1] - best[0]) / maps.std(0)}
    return out if flat else {**out, "depth": points[0, :, 2]}


# S3FD


def _s3fd(case, weights):
    variables, images = s3fd.convert(_only(case, weights), "fan"), _last(case.inputs()["image"])
    out = {}
    for i, (scores, boxes) in enumerate(s3fd.levels(variables, images, "fan"), 1):
        out |= {f"cls{i}": _first(scores), f"reg{i}": _first(boxes)}
    return out


def _s3fd_decode(case, weights):
    inputs = case.inputs()
    levels = [tuple(np.moveaxis(inputs[f"{kind}{i}"][0], 0, -1) for kind in ("cls", "reg")) for i in range(6)]
    boxes = s3fd.candidates_fan(levels)
    keep = s3fd.suppress(boxes[:, :4], boxes[:, 4], 0.3, pixels=1.0)
    best = boxes[keep]
    return {"candidates": boxes, "keep": keep, "final": best[best[:, 4] > 0.5]}


def _s3fd_syncnet(case, weights):
    variables = s3fd.convert(_only(case, weights), "syncnet")
    images = _last(case.inputs()["image"])
    planes = images.astype(jnp.float32) - s3fd.MEAN_BGR  # from the planes as given, unlike `s3fd.levels`
    levels = _jit(s3fd.S3FD("syncnet").apply, variables, planes)
    rows = [s3fd.flatten_syncnet([(a[i], b[i]) for a, b in levels]) for i in range(len(images))]
    priors = s3fd.priors_syncnet([a.shape[1:3] for a, _ in levels], *images.shape[1:3])
    return {"loc": np.stack([a for a, _ in rows]), "conf": np.stack([b for _, b in rows]), "priors": priors}


def _s3fd_syncnet_detect(case, weights):
    inputs = case.inputs()
    pairs = zip(inputs["loc"], inputs["conf"], strict=True)
    return {"rows": np.concatenate([s3fd.candidates_syncnet(a, b, inputs["priors"]) for a, b in pairs])}


# ArcFace


def _arcface(case, weights):
    variables = arcface.convert(_only(case, weights))
    embedding, body = _jit(arcface.IRSE50().apply, variables, _last(case.inputs()["x"]))
    return {"embedding": embedding, "body": _first(body)}


CASES: Mapping[str, Callable] = {
    "fid_inception": _fid,
    "fid_inception_299": _fid_299,
    "fid_torch_fidelity": _fid_tf1,
    "resize_torch": _resize(inception.resize_linear),
    "resize_tf1": _resize(inception.resize_tf1),
    "resize_clean": _resize_clean,
    "resize_clean_up": _resize_clean,
    "vgg19": _vgg("vgg19"),
    "vgg16": _vgg("vgg16"),
    "hopenet": _hopenet,
    "lpips_vgg": _lpips("vgg"),
    "lpips_alex": _lpips("alex"),
    "syncnet_towers": _syncnet_towers,
    "syncnet_e2e_vshift10": _syncnet_clip,
    "syncnet_e2e_vshift15": _syncnet_clip,
    "fan4": _fan,
    "fan_depth": _fan_depth,
    "fan_decode": _fan_decode,
    "fan_crop": _fan_crop,
    "fan_2d_e2e": _fan_image,
    "fan_3d_e2e": _fan_image,
    "s3fd": _s3fd,
    "s3fd_decode": _s3fd_decode,
    "s3fd_syncnet": _s3fd_syncnet,
    "s3fd_syncnet_detect": _s3fd_syncnet_detect,
    "arcface_irse50": _arcface,
}
