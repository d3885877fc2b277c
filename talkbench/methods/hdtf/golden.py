"""How to compute each case of HDTF's two golden files (see `talkbench.weights.golden`).

Sizes come from the state dicts and the inputs, so files of other sizes pass through the same code.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from talkbench.methods.hdtf import device_flow, host_flow, losses
from talkbench.methods.hdtf.convert import load_part
from talkbench.methods.hdtf.projection import linear_vertices, project
from talkbench.nn.resize import gaussian_kernel
from talkbench.weights.golden import Case, Weights
from talkbench.weights.torch_layout import entry

Arrays = dict[str, Any]


def _last(x: np.ndarray) -> np.ndarray:
    """Channels first -> channels last."""
    return np.moveaxis(x, 1, -1)


def _first(x: Any) -> np.ndarray:
    """Channels last -> channels first."""
    return np.moveaxis(np.asarray(x), -1, 1)


def _module_path(key: str) -> str:
    """Published name of a module -> path of ours: `down_blocks.0.conv` -> `down_blocks_0/conv`."""
    names: list[str] = []
    for part in key.split("."):
        if part.isdigit() and names:
            names[-1] += f"_{part}"
        else:
            names.append(part)
    return "/".join(names)


def _apply(network: nn.Module, variables: Mapping, inputs: tuple, train: bool, stages: Mapping[str, str]):
    """A jitted call -> (output, {key: output of the submodule at path}, new statistics); `stages` is {key: path}."""
    keys = {path: key for key, path in stages.items()}

    def wanted(module, method):
        return method == "__call__" and "/".join(module.path) in keys

    @jax.jit
    def run(variables, *inputs):
        mutable = ["intermediates", "batch_stats"] if train else ["intermediates"]
        output, state = network.apply(
            variables, *inputs, train=train, mutable=mutable, capture_intermediates=wanted
        )
        made = {}
        for path, value in jax.tree_util.tree_leaves_with_path(state.pop("intermediates", {})):
            names = [part.key for part in path if hasattr(part, "key")]
            if names[-1] == "__call__":
                made[keys["/".join(names[:-1])]] = value
        return output, made, state

    return run(variables, *inputs)


def gaussian(case: Case, weights: Weights) -> Arrays:
    (taps, _) = case.outputs["kernel"].shape
    for step in range(1, taps + 1):
        kernel = gaussian_kernel(1 / step)
        if len(kernel) == taps:
            return {"kernel": np.outer(kernel, kernel)}
    raise ValueError(f"no reduction by a whole number has a kernel of {taps} taps")


def dense_flow(case: Case, weights: Weights) -> Arrays:
    """F_app on the device in double precision; the host's version has to agree with it."""
    inputs = case.inputs()
    size = int(inputs["image_size"])
    basis = (inputs["mean"], inputs["shape_basis"], inputs["expression_basis"])
    vertices = linear_vertices(*basis, inputs["shape"], inputs["expression"])
    points = project(vertices, inputs["rotation"], inputs["translation"], inputs["scale"], size, size)
    points[..., 1] += inputs["shift_down"]
    reference, driving = points[:1, :, :2], points[1:, :, :2]
    with jax.enable_x64(True):
        flow, mean = map(np.asarray, device_flow.approximate_flow(reference, driving, size))
    for i, frame in enumerate(driving):
        same, _ = host_flow.approximate_flow(reference[0], frame, size)
        difference = np.abs(same - flow[i]).max()
        if difference > 1e-12:
            raise ValueError(f"frame {i}: host and device differ by {difference:.1e}")
    return {"points": points, "fapp": flow, "mean_flow": mean}


_NAMES = {  # entries of the released code's dictionary -> ours; channels last there too
    "foreground_mask": "foreground_mask",
    "dense_flow_foreground": "flow",
}
_FIRST = {  # the same, channels first there
    "warped_image": "warped_image",
    "foreground_matting.down_sample_image": "small_image",
    "foreground_matting.down_sample_flow": "small_flow",
    "matting_mask": "matting_mask",
    "matting_image": "matting_image",
    "fused_feature": "fused",
    "synthetic_image": "image",
}
_LOGITS = {
    "foreground_mask_logit": "foreground_matting/foreground_mask",
    "matting_mask_logit": "foreground_matting/matting_mask",
}


def video_generator(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    network, variables = load_part("video_generator", weights.pop(name))
    network = network.clone(**{"align_corners": case.options["align_corners"]} if case.options else {})
    stages = {}
    for key in case.outputs:
        if key in _LOGITS:
            stages[key] = _LOGITS[key]
        elif "." in key and key not in _FIRST and not key.startswith("after."):
            stages[key] = _module_path(key)
    stages |= {key: key for key in ("encoder", "bottleneck") if key in case.outputs}
    inputs = case.inputs()
    images = (_last(inputs["reference_image"]), inputs["dense_flow"])
    output, made, after = _apply(network, variables, images, case.mode == "train", stages)
    result = {key: _first(x) for key, x in made.items()}
    result |= {key: output[ours] for key, ours in _NAMES.items()}
    result |= {key: _first(output[ours]) for key, ours in _FIRST.items()}
    result["dense_flow_foreground_vis"] = output["foreground_mask"] * output["small_flow"]
    for key in case.outputs:
        if key.startswith("after."):
            result[key] = entry(after, key.removeprefix("after."))
    return result


def animation_generator(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    network, variables = load_part("animation_generator", weights.pop(name))
    inputs = case.inputs()
    arguments = (inputs["audio"], inputs["identity"])
    output, _, _ = _apply(network, variables, arguments, case.mode == "train", {})
    sequences = ("mouth", "eyebrow", "head")
    return {key: x if key in sequences else _first(x) for key, x in output.items()}


def animation_discriminator(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    network, variables = load_part("animation_discriminator", weights.pop(name))
    inputs = case.inputs()
    return {"prediction": jax.jit(network.apply)(variables, inputs["animation"], inputs["audio"])}


def animation_losses(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    pair = (inputs["prediction"], inputs["target"])
    return {"ssim": losses.temporal_ssim(*pair), "l1": losses.parameter_l1(*pair)}


CASES: dict[str, Callable[[Case, Weights], Arrays]] = {
    "gaussian": gaussian,
    "fapp_512": dense_flow,
    "fapp_64": dense_flow,
    "fapp_64_no_torso": dense_flow,
    "gvid_512": video_generator,
    "gvid_512_align_false": video_generator,
    "gvid_512_fapp": video_generator,
    "gvid_small": video_generator,
    "gvid_small_train": video_generator,
    "ani_eval": animation_generator,
    "ani_train": animation_generator,
    "dis_mouth": animation_discriminator,
    "dis_eyebrow": animation_discriminator,
    "losses": animation_losses,
}
