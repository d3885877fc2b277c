"""Golden cases of the published judges (`evalnets.npz`): {case: function(case, weights) -> {key: array}}.

Inputs and outputs have the published layout (channels first); everything else is read from the file's manifest.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.data.mfcc import mfcc
from talkbench.evaluators import inception, lpips, syncnet
from talkbench.metrics import sync


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
        return {"y": _first(_jit(lambda x: function(x.astype(jnp.float32), (299, 299)), _last(case.inputs()["x"])))}

    return run


def _resize_clean(case, weights):
    x = jnp.asarray(case.inputs()["x"])[None].astype(jnp.float32)  # this case is height, width, channels
    return {"y": np.asarray(_jit(inception.resize_clean, x))[0]}


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


CASES: Mapping[str, Callable] = {
    "fid_inception": _fid,
    "fid_inception_299": _fid_299,
    "fid_torch_fidelity": _fid_tf1,
    "resize_torch": _resize(inception.resize_linear),
    "resize_tf1": _resize(inception.resize_tf1),
    "resize_clean": _resize_clean,
    "resize_clean_up": _resize_clean,
    "lpips_vgg": _lpips("vgg"),
    "lpips_alex": _lpips("alex"),
    "syncnet_towers": _syncnet_towers,
    "syncnet_e2e_vshift10": _syncnet_clip,
    "syncnet_e2e_vshift15": _syncnet_clip,
}
