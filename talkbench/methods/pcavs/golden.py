"""How to compute each case of PC-AVS's golden file (see `talkbench.weights.golden`).

Every function takes a case and its networks' published state dicts, loads them as a real checkpoint is loaded, and
returns arrays in the published layout. Sizes come from the state dicts and the inputs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.methods.pcavs import augment, frames, losses, mel, networks
from talkbench.methods.pcavs.convert import Part, load_part
from talkbench.nn.pool import max_pool
from talkbench.nn.stylegan2 import MappingNetwork
from talkbench.nn.vgg import VGG
from talkbench.weights.golden import Case, Weights
from talkbench.weights.torch_layout import entry
from talkbench.weights.vgg import convert_vgg

Arrays = dict[str, Any]


def _last(x: np.ndarray) -> np.ndarray:
    """Channels (the third axis from the end) last."""
    return np.moveaxis(x, -3, -1)


def _first(x: Any) -> np.ndarray:
    """Channels last -> channels first."""
    return np.moveaxis(np.asarray(x), -1, 1)


def _hooks(case: Case) -> list[str]:
    """Published names of the modules whose outputs a case has."""
    return [key.removeprefix("hook.") for key in case.outputs if key.startswith("hook.")]


def _path(name: str, prefix: str = "") -> str:
    """Published module name -> path of ours: `convs.0.conv` is `convs_0/conv`."""
    names: list[str] = [prefix] if prefix else []
    for part in name.split("."):
        if part.isdigit():
            names[-1] += f"_{part}"
        else:
            names.append(part)
    return "/".join(names)


def _apply(part: Part, *inputs, wanted=(), **kwargs) -> tuple[Any, dict]:
    """A jitted call -> (output, {path: output of the submodule there, or what the network sows}) for `wanted` paths."""
    wanted = set(wanted)

    def chosen(module, method):
        return method == "__call__" and "/".join(module.path) in wanted

    @jax.jit
    def run(variables, inputs, kwargs):
        output, state = part.network.apply(
            variables, *inputs, mutable=["intermediates"], capture_intermediates=chosen, **kwargs
        )
        made = {}
        for path, value in jax.tree_util.tree_leaves_with_path(state.get("intermediates", {})):
            names = [step.key for step in path if hasattr(step, "key")]
            name = "/".join(names[:-1] if names[-1] == "__call__" else names)
            if name in wanted:
                made[name] = value
        return output, made

    return run(part.variables, inputs, kwargs)


def _train(part: Part, *inputs, method: str | None = None) -> tuple[Any, dict]:
    """A jitted call in train mode, dropout off -> (output, new statistics)."""

    @jax.jit
    def run(variables, inputs):
        return part.network.apply(variables, *inputs, train=True, mutable=["batch_stats"], method=method)

    return run(part.variables, inputs)


def _statistics(case: Case, state: Mapping) -> Arrays:
    """The outputs `state.KEY`: statistics of the backbone after a step."""
    keys = [key for key in case.outputs if key.startswith("state.")]
    return {key: entry(state, "model." + key.removeprefix("state.")) for key in keys}


# Encoders


def non_identity(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    state = weights.pop(name)
    classes = state["classifier.2.bias"].shape[0]
    part = load_part("E", state, num_classes=classes)
    x = _last(case.inputs()["x"])
    if case.mode == "train":
        feature, after = _train(part, x, method="feature")
        return {"feature": feature, **_statistics(case, after)}
    paths = {f"hook.{name}": _path(name, "model") for name in _hooks(case)}
    out, seen = _apply(part, x, wanted=paths.values())
    many = lambda y: y[:, None]  # noqa: E731 - published heads keep an axis of frames
    made = {
        "feature": out["feature"], "mouth": many(out["mouth"]), "pose": many(out["pose"]),
        "mouth_embed": many(out["mouth_embed"]), "headpose_embed": many(out["pose_code"]),
        "merged": many(jnp.concatenate([out["mouth_embed"], out["pose_code"]], -1)),
        "scores": out["classifier"], "mouth_fc": out["mouth_fc"], "headpose_fc": out["headpose_fc"],
    }  # fmt: skip
    return made | {key: _first(seen[path]) for key, path in paths.items()}


def identity(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    part = load_part("V", weights.pop(name))
    x = _last(case.inputs()["input"])
    if case.mode == "train":
        (vector, feature_map, _), after = _train(part, x)
        return {"net": vector, "map": _first(feature_map), **_statistics(case, after)}
    stages = part.network.stages
    paths = {"hook.bn1": "model/bn1"}
    paths |= {f"hook.layer{i + 1}": f"model/layer{i + 1}_{n - 1}" for i, n in enumerate(stages)}
    (vector, feature_map, scores), seen = _apply(part, x, wanted=paths.values())
    made = {"net": vector, "map": _first(feature_map), "scores": scores}
    made |= {key: _first(seen[path]) for key, path in paths.items()}
    pooled = max_pool(nn.relu(seen["model/bn1"]), (3, 3), (2, 2), (1, 1))
    return made | {"hook.maxpool": _first(pooled)}


def audio(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    state = weights.pop(name)
    part = load_part("A_sync", state, num_classes=state["fc.bias"].shape[0])
    x = _last(case.inputs()["x"])
    if case.mode == "train":
        (content, _), after = _train(part, x)
        return {"feature": content, **_statistics(case, after)}
    paths = {"hook.bn1": "model/bn1", "hook.attention": "model/attention"}
    stages = part.network.stages
    paths |= {f"hook.layer{i + 1}": f"model/layer{i + 1}_{n - 1}" for i, n in enumerate(stages)}
    (content, scores), seen = _apply(part, x, wanted=paths.values())
    return {"feature": content, "scores": scores} | {k: _first(seen[p]) for k, p in paths.items()}


# Generator


def generate(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    part = load_part("G", weights.pop(name))
    inputs = case.inputs()
    paths = {f"hook.{name}": _path(name) for name in _hooks(case)}
    count = sum(key.startswith("rgb_") for key in case.outputs)
    scales = {
        f"rgb_{i}": f"{'to_rgb1' if i == 0 else f'to_rgbs_{i - 1}'}/conv/modulation" for i in range(count)
    }
    kwargs = {}
    if "identity_style" in inputs:
        kwargs["identity_map"] = _last(inputs["identity_style"])
    noise = [_last(inputs[key]) for key in inputs if key.startswith("noise_")]
    if noise:
        kwargs["noise"] = noise
    image, seen = _apply(part, inputs["style"], wanted=[*paths.values(), *scales.values()], **kwargs)
    made = {"image": _first(image)} | {key: _first(seen[path]) for key, path in paths.items()}
    return made | {key: seen[path][:, None, :, None, None] for key, path in scales.items()}


def mapping(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    part = load_part("G", weights.pop(name), style_mlp=True)
    z = case.inputs()["z"]
    network = MappingNetwork(z.shape[-1], part.network.mapping_layers)
    return {"w": jax.jit(network.apply)({"params": part.variables["params"]["style"]}, z)}


# Discriminator and losses


def discriminate(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    part = load_part("D", weights.pop(name))
    made, _ = _apply(part, _last(case.inputs()["input"]))
    return {f"d{i}_{j}": _first(x) for i, scale in enumerate(made) for j, x in enumerate(scale)}


def _one(value: Any) -> np.ndarray:
    return np.asarray(value).reshape(1)


def adversarial_losses(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    part = load_part("D", weights.pop(name))
    inputs = case.inputs()
    (fake, _), (real, _) = (_apply(part, _last(inputs[key])) for key in ("fake", "real"))
    weight = losses.PUBLISHED_WEIGHTS["feature_matching"]
    made = {"feature_matching": _one(weight * losses.feature_matching(real, fake))}
    for gan in ("hinge", "ls", "original", "w"):
        made[f"{gan}.G"] = _one(losses.adversarial(fake, True, gan, for_discriminator=False))
        made[f"{gan}.D_fake"] = _one(losses.adversarial(fake, False, gan))
        made[f"{gan}.D_real"] = _one(losses.adversarial(real, True, gan))
    return made


def contrastive_loss(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    face, sound = inputs["face"], inputs["audio"]
    value, (face_gradient, sound_gradient) = jax.value_and_grad(losses.contrastive, (0, 1))(face, sound)
    return {
        "loss_fa": _one(value), "loss_af": _one(losses.contrastive(sound, face)),
        "grad_face": face_gradient, "grad_audio": sound_gradient,
        "l1": _one(losses.mean_difference(face, sound)), "cosine": losses.cosine(face, sound),
    }  # fmt: skip


def class_losses(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    scores = inputs["scores"]
    even = _one(losses.evenness(scores))
    return {
        "cross_entropy": _one(losses.cross_entropy(scores, inputs["labels"])),
        "l2_softmax": even,
        "l2_softmax_module": even,
        "sum_log_softmax": _one(losses.log_evenness(scores)),
    }


def vgg_loss(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    network = VGG()
    variables = convert_vgg(weights.pop(name), network)
    inputs = case.inputs()
    x, y = _last(inputs["x"]), _last(inputs["y"])
    terms = jax.jit(lambda v, x, y: losses.perceptual_terms(network, v, x, y))(variables, x, y)
    features = jax.jit(network.apply)(variables, x)
    weighted = [w * t for w, t in zip(losses.LAYER_WEIGHTS, terms, strict=True)]
    made = {"loss": _one(sum(weighted)), "loss_from_2": _one(sum(weighted[2:]))}
    made |= {f"term_{i}": _one(term) for i, term in enumerate(terms)}
    return made | {f"h_{i}": _first(features[tap]) for i, tap in enumerate(network.taps)}


# Sound and pictures before the networks


def mel_spectrogram(case: Case, weights: Weights) -> Arrays:
    sound = case.inputs()["wav"]
    normalized = mel.normalize(sound)
    return {
        "normalized": normalized,
        "stft_abs": mel.magnitudes(normalized).T,
        "mel_basis": mel.filters(),
        "mel": mel.mel(sound),
        "rms": _one(mel.loudness(normalized)),
    }


def mel_windows(case: Case, weights: Weights) -> Arrays:
    numbers, starts, windows = mel.published_windows(case.inputs()["mel"])
    return {"frames": numbers, "starts": starts, "windows": windows[:, None]}


def perspective(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    image, side = inputs["image"], case.outputs["warped"].shape[1]
    return {
        "matrices": np.stack(
            [augment.perspective_matrix(*image.shape[:2], *row) for row in inputs["params"]]
        ),
        "warped": np.stack([augment.perspective(image, *row, side) for row in inputs["params"]]),
    }


def align(case: Case, weights: Weights) -> Arrays:
    landmarks = case.inputs()["landmarks"]
    common, per_frame = frames.alignment(landmarks)
    return {"three_points": frames.three_points(landmarks), "common": common, "per_frame": per_frame}


def pose_loop_index(case: Case, weights: Weights) -> Arrays:
    count = case.outputs["index"].shape[1]
    return {"index": np.stack([frames.ping_pong(count, int(n)) for n in case.inputs()["lengths"]])}


def to_tensor(case: Case, weights: Weights) -> Arrays:
    return {"tensor": np.moveaxis(frames.to_unit(case.inputs()["image"]), -1, 0)}


# Whole paths

_LABELS = {
    "noid_encoder": "E",
    "identity_encoder": "V",
    "audio_encoder": "A_sync",
    "generator_zero_noise": "G",
    "discriminator": "D",
}


def _parts(case: Case, weights: Weights) -> dict[str, Part]:
    return {
        _LABELS[name]: load_part(_LABELS[name], weights.pop(name))
        for name in case.networks
        if name in _LABELS
    }


def _call(parts: Mapping[str, Part], variables: Mapping, name: str, *inputs, method=None):
    return parts[name].network.apply(variables[name], *inputs, method=method)


def inference(case: Case, weights: Weights) -> Arrays:
    parts = _parts(case, weights)
    inputs = case.inputs()
    references, pose = _last(inputs["input"]), _last(inputs["driving_pose_frames"])
    sound = _last(inputs["spectrogram"])

    @jax.jit
    def run(variables, references, sound, pose):
        def call(name, *inputs, method=None):
            return _call(parts, variables, name, *inputs, method=method)

        vector, identity_map, _ = call("V", references)
        content = networks.AUDIO_GAIN * call("A_sync", sound)[0]
        mouth = call("E", content, method="mouth_embed")

        def code(pictures):
            feature = call("E", pictures, method="feature")
            return call("E", call("E", feature, method="pose"), method="pose_code")

        batch, count = references.shape[:2]
        own = code(references.reshape(-1, *references.shape[2:])).reshape(batch, count, -1).mean(1)
        draw = lambda code: call("G", networks.style(vector, mouth, code), identity_map)  # noqa: E731
        return draw(own), draw(code(pose))

    fixed, driven = run({name: part.variables for name, part in parts.items()}, references, sound, pose)
    return {"ref_pose": _first(fixed), "driven_pose": _first(driven), "difference": _first(fixed - driven)}


def training_losses(case: Case, weights: Weights) -> Arrays:
    parts = _parts(case, weights)
    vgg = VGG()
    teacher = convert_vgg(weights.pop("vgg19"), vgg)
    inputs = case.inputs()
    pictures = {key: _last(inputs[key]) for key in ("input", "target", "augmented", "spectrogram")}

    @jax.jit
    def run(variables, teacher, x, labels):
        def call(name, *inputs, method=None):
            return _call(parts, variables, name, *inputs, method=method)

        vector, identity_map, scores = call("V", x["input"])
        heard = call("A_sync", x["spectrogram"])[0]
        feature = call("E", x["augmented"], method="feature")
        seen = call("E", feature, method="mouth")
        code = call("E", call("E", feature, method="pose"), method="pose_code")
        style = networks.style(vector, call("E", heard, method="mouth_embed"), code)
        fake = call("G", style, identity_map)
        ours, theirs = call("D", fake), call("D", x["target"])
        terms = {
            "G.CrossModal": ("cross_modal", losses.mean_difference(heard, seen)),
            "G.SoftmaxContrastive": ("contrastive_audio", losses.contrastive(seen, heard)),
            "G.SoftmaxContrastive_v2a": ("contrastive_video", losses.contrastive(heard, seen)),
            "G.GAN_Feat_audio": ("feature_matching", losses.feature_matching(theirs, ours)),
            "G.GANa": ("gan", losses.adversarial(ours, True, for_discriminator=False)),
            "G.VGGa": ("perceptual", losses.perceptual(vgg, teacher, fake, x["target"])),
            "G.loss_cls": ("identity", losses.cross_entropy(scores, labels)),
            "D.D_Fake": ("gan", losses.adversarial(ours, False)),
            "D.D_real": ("gan", losses.adversarial(theirs, True)),
        }
        made = {key: losses.PUBLISHED_WEIGHTS[name] * value for key, (name, value) in terms.items()}
        return made, fake, scores

    variables = {name: part.variables for name, part in parts.items()}
    made, fake, scores = run(variables, teacher, pictures, inputs["labels"])
    return {key: _one(value) for key, value in made.items()} | {"fake": _first(fake), "id_scores": scores}


CASES: dict[str, Callable[[Case, Weights], Arrays]] = {
    "noid_encode": non_identity,
    "noid_encode_train": non_identity,
    "identity_encode": identity,
    "identity_encode_train": identity,
    "audio_encode": audio,
    "audio_encode_train": audio,
    "generate": generate,
    "generate_noise_buffers": generate,
    "generate_small_28": generate,
    "generate_small_32": generate,
    "mapping_small": mapping,
    "discriminate": discriminate,
    "discriminate_small": discriminate,
    "adversarial_losses": adversarial_losses,
    "contrastive_loss": contrastive_loss,
    "class_losses": class_losses,
    "vgg_loss": vgg_loss,
    "mel": mel_spectrogram,
    "mel_windows": mel_windows,
    "perspective": perspective,
    "align": align,
    "pose_loop_index": pose_loop_index,
    "to_tensor": to_tensor,
    "inference": inference,
    "training_losses": training_losses,
}
