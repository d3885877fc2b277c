"""How to compute each case of MakeItTalk's four golden files (see `talkbench.weights.golden`).

Weights are loaded as a real checkpoint is. Sizes come from the state dicts and the inputs, options from the
manifest, so files of other seeds, batches and sizes pass through the same code. The published tables that some
cases need are arrays of the files themselves.
"""

import importlib
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.methods.makeittalk import (
    audio,
    cartoon,
    drawing,
    faces,
    losses,
    networks,
    pitch,
    postprocess,
    translation,
)
from talkbench.methods.makeittalk import speaker_vector as voices
from talkbench.methods.makeittalk.attention import positional_table
from talkbench.methods.makeittalk.convert import RULES, Part, load_part
from talkbench.methods.makeittalk.pool_choice import PoolsOfTheReference
from talkbench.methods.makeittalk.voice_conversion import AutoVC
from talkbench.metrics import landmark
from talkbench.nn.vgg import VGG
from talkbench.weights.golden import Case, Skipped, Weights
from talkbench.weights.torch_layout import entry
from talkbench.weights.vgg import convert_vgg

Arrays = dict[str, Any]


def _part(weights: Weights, part: str) -> Part:
    """The only network of a case, as the part `part`."""
    (name,) = weights
    return load_part(part, weights.pop(name))


def _apply(part: Part, *inputs, **options):
    """A jitted call in eval mode."""
    network, variables, _ = part
    return jax.jit(lambda v, *x: network.apply(v, *x, **options))(variables, *inputs)


def _call(case: Case) -> str:
    """The manifest's text that says what is called; some options stand only there."""
    return case.golden.manifest["cases"][case.name]["call"]


def _faces(rows: np.ndarray) -> np.ndarray:
    """(N, 204) -> (N, 68, 3)."""
    return rows.reshape(len(rows), 68, 3)


def _last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1)


def _first(x: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(x), -1, 1)


# Networks


def autovc_encoder(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    part = _part(weights, "voice_conversion")
    return {"codes": _apply(part, inputs["x"], inputs["c_org"], method=AutoVC.encode)}


def autovc(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    arguments = [inputs[name] for name in ("x", "c_org", "c_trg", "f0_trg") if name in inputs]
    made = _apply(_part(weights, "voice_conversion"), *arguments)
    return dict(zip(("mel", "mel_postnet", "codes"), made, strict=True))


def voice_encoder(case: Case, weights: Weights) -> Arrays:
    return {"embeds": _apply(_part(weights, "voice_encoder"), case.inputs()["mels"])}


def resemblyzer_mel(case: Case, weights: Weights) -> Arrays:
    return {"mel": voices.power_mel(case.inputs()["wav"])}


def resemblyzer_slices(case: Case, weights: Weights) -> Arrays:
    made = {}
    for key in case.outputs:
        samples, rate = re.fullmatch(r"n(\d+)_rate([\d.]+)", key).groups()
        made[key] = voices.partial_slices(int(samples), float(rate))
    return made


def resemblyzer_utterance(case: Case, weights: Weights) -> Arrays:
    part = _part(weights, "voice_encoder")
    vector, partials = voices.embed_utterance(partial(_apply, part), case.inputs()["wav"])
    return {"embed": vector, "partials": partials}


def resemblyzer_pretrained(case: Case, weights: Weights) -> Arrays:
    reason = Skipped("needs the weights file of the Resemblyzer package, which is no part of this one")
    return dict.fromkeys(case.outputs, reason)


def resemblyzer_volume(case: Case, weights: Weights) -> Arrays:
    return {"wav": voices.raise_volume(case.inputs()["wav"])}


def resemblyzer_trim(case: Case, weights: Weights) -> Arrays:
    try:
        detector = importlib.import_module("webrtcvad").Vad(mode=3)
    except ImportError:
        reason = Skipped("needs the voice activity detector of the package webrtcvad, which is not installed")
        return dict.fromkeys(case.outputs, reason)

    def is_speech(windows):
        return [detector.is_speech(window.tobytes(), voices.RATE) for window in windows]

    wav = case.inputs()["wav"]
    kept = voices.trim_silence(wav, is_speech)
    return {"length": np.array([len(wav), len(kept)]), "wav": kept}


def content(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    part = _part(weights, "content")
    if case.mode != "train":
        return {"disp": _apply(part, inputs["au"], inputs["face_id"])}
    network = part.network.copy(dropout=0.0)
    call = jax.jit(lambda v, *x: network.apply(v, *x, train=True, mutable=["batch_stats"]))
    displacement, state = call(part.variables, inputs["au"], inputs["face_id"])
    statistics = {key: entry(state, key, RULES["content"]) for key in case.outputs if "running" in key}
    return {"disp": displacement, **statistics}


def speaker(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    made = _apply(_part(weights, "speaker"), inputs["au"], inputs["emb"], inputs.get("z"))
    return {"disp": made["displacement"], "spk": made["speaker"][0], "encoder": made["encoded"]}


def positions(case: Case, weights: Weights) -> Arrays:
    _, rows, width = case.outputs["pe"].shape
    return {"pe": positional_table(rows, width)[None]}


def disc_transformer(case: Case, weights: Weights, step: int = 1, keep: int = 1) -> Arrays:
    inputs = case.inputs()
    rows = jnp.concatenate([inputs["fls"], inputs["spk"]], -1)
    windows = networks.published_windows(rows, step=step, keep=keep)
    return {"score": _apply(_part(weights, "sequence_discriminator"), windows)}


def disc_frame(case: Case, weights: Weights) -> Arrays:
    return {"score": _apply(_part(weights, "frame_discriminator"), case.inputs()["fls"])}


def disc_gru(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    return {"score": _apply(_part(weights, "gru_discriminator"), inputs["comb"], inputs["fls"])}


# Sound


def loudness(case: Case, weights: Weights) -> Arrays:
    pcm, rms, level = audio.normalize_loudness(case.inputs()["pcm"])
    return {"pcm": pcm, "rms": rms, "dbfs": level}


def autovc_features(case: Case, weights: Weights, voice: str = "F") -> Arrays:
    pcm = case.inputs()["pcm"]
    mel = audio.normalized_mel(audio.conditioned(pcm))
    try:
        again, track = audio.autovc_features(pcm, pitch.rapt, voice)
        f0 = {"f0_norm": track, "f0_bin": audio.pitch_bins(track)}
    except pitch.TrackerMissingError as missing:
        again = audio.normalized_mel(audio.conditioned(pcm))
        f0 = dict.fromkeys(("f0_norm", "f0_bin"), Skipped(missing))
    return {"S": mel, "same_mel": np.abs(again - mel).max(), **f0}


def audio_stages(case: Case, weights: Weights) -> Arrays:
    filtered = audio.filtered(case.inputs()["wav"])
    b, a = audio.high_pass()
    magnitude = audio.spectrum(filtered * 0.95)
    basis = audio.autovc_filters()
    return {
        "b": b,
        "a": a,
        "filtered": filtered,
        "stft": magnitude,
        "mel_basis": basis,
        "mel": magnitude @ basis.T,
    }


def dither(case: Case, weights: Weights) -> Arrays:
    (count,) = case.outputs["rand"].shape
    return {"rand": audio.dither(count) * 1e6 + 0.5}


def f0_normalise(case: Case, weights: Weights) -> Arrays:
    made = audio.normalized_pitch(case.inputs()["logf0"])
    return {"f0_norm": made, "bin": audio.pitch_bins(made)}


def windows(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    mean, std = np.split(inputs["au_mean_std"], 2)
    return {"windows": audio.windows(inputs["au"], mean, std)}


# Landmarks


def content_loss(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    options = case.options or json.loads(re.search(r"\{.*?\}", _call(case)).group())
    scale = {
        "position": 1.0,
        "motion": float(options["use_motion_loss"]),
        "laplacian": options["lambda_laplacian_smooth_loss"],
    }

    @jax.jit
    @jax.value_and_grad
    def loss(displacement):
        terms = losses.content(displacement, inputs["face_id"], inputs["fls_gt"], options["use_lip_weight"])
        return sum(scale[name] * term for name, term in terms.items())

    value, gradient = loss(inputs["disp"])
    return {"loss": value, "grad": gradient}


def paper_content_loss(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    return losses.squared(inputs["face_id"] + inputs["disp"], inputs["fls_gt"])


def laplacian(case: Case, weights: Weights) -> Arrays:
    coordinates = losses.laplacian(losses.points(case.inputs()["fls"]))
    return {"coords": coordinates, "n1": losses.BEFORE, "n2": losses.AFTER}


def register(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    matrix, moved = faces.register(inputs["fls"], inputs["std_face"])
    return {"T": matrix, "registered": moved}


def mouth_area(case: Case, weights: Weights) -> Arrays:
    landmarks = _faces(case.inputs()["fls"])
    areas = faces.mouth_areas(landmarks)
    closest = faces.reference_frame(landmarks, 1)
    return {"area": np.abs(areas).sum(-1), "signed": areas.sum(-1), "closest": closest}


def post_combine(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    return {"disp": postprocess.combine(inputs["G_out"], inputs["C_out"])}


def post_calibrate(case: Case, weights: Weights) -> Arrays:
    return {"disp": postprocess.calibrate(case.inputs()["C_out"])}


def post_inverse_lip(case: Case, weights: Weights) -> Arrays:
    made, changed = postprocess.repair_lips(case.inputs()["fls"])
    return {"fls": made, "changed": changed.astype(np.int8)}


def post_pipeline(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    cuts = postprocess.segments(len(inputs["G_out"]))
    speaker, content = ([inputs[name][cut] for cut in cuts] for name in ("G_out", "C_out"))
    made = postprocess.assemble(speaker, content, inputs["face_id"][0])
    return {"fls": made.reshape(len(made), -1)}


def norm_input_face(case: Case, weights: Weights) -> Arrays:
    standard = case.golden.arrays["const/std_face_landmarks"]
    face, scale, shift = faces.normalize_natural(case.inputs()["face"], standard)
    return {"face": face, "scale": scale, "shift": shift}


def close_input_mouth(case: Case, weights: Weights) -> Arrays:
    return {"face": faces.close_mouth(case.inputs()["face"])}


def blink(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    random = np.random.RandomState(case.golden.seed)
    centres = postprocess.blink_centres(len(inputs["fls"]), random)
    made = postprocess.blink(inputs["fls"], inputs["frames"].tolist())
    return {"frames": np.array(centres), "eyes": made[:, 36:48]}


def to_image_space(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    scale, shift = float(inputs["scale"]), inputs["shift"]
    made = postprocess.to_image(_faces(inputs["fls"]), scale, shift, inputs["blink_frames"].tolist())
    return {"fls": made.reshape(len(made), -1)}


def raster(case: Case, weights: Weights) -> Arrays:
    (points,) = case.inputs().values()
    return {"image": drawing.draw(points, case.outputs["image"].shape[0], drawing.THICKNESS)}


def puppet_norm(case: Case, weights: Weights) -> Arrays:
    standard = case.golden.arrays["const/std_face_landmarks"]
    opened, closed, scale_shift = cartoon.puppet(case.inputs()["face"], standard)
    return {"open_norm": opened, "close": closed, "scale_shift": scale_shift}


def _picture_size(case: Case) -> tuple[int, int]:
    """Height and width that the call names, "... of a 256x256 image"."""
    width, height = re.search(r"(\d+)x(\d+) image", _call(case)).groups()
    return int(height), int(width)


def puppet_triangles(case: Case, weights: Weights) -> Arrays:
    face, size = case.inputs()["face"], _picture_size(case)
    return {
        "triangles": cartoon.triangles(face, *size),
        "inner": cartoon.triangles(face, *size, whole_lips=False),
    }


def puppet_bound(case: Case, weights: Weights) -> Arrays:
    return {"bound": cartoon.far_border(*_picture_size(case))}


def warp(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    texture, background = (np.moveaxis(inputs[name], 0, -1) for name in ("texture", "background"))
    points = np.concatenate([texture, inputs["alpha"][..., None]], -1)
    warped, covered = cartoon.warp(points, inputs["reference"], inputs["moved"][None], inputs["triangles"])
    picture, alpha = warped[0, ..., :3], warped[0, ..., 3]
    whole = cartoon.composite(picture, alpha, background)
    return {
        "warped": np.moveaxis(np.asarray(picture), -1, 0),
        "composite": np.moveaxis(np.asarray(whole), -1, 0),
        "covered": covered.mean(),
    }


def metrics(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    real, fake = _faces(inputs["reference"]), _faces(inputs["predicted"])
    made = {}
    for key in case.outputs:
        name, dimensions = key.lower().rsplit("_", 1)
        axes = int(dimensions[0])
        more = [inputs["std_face"]] if name == "d_rot" else []
        made[key] = getattr(landmark, name)(real[..., :axes], fake[..., :axes], *more)
    return made


def interpolate_fps(case: Case, weights: Weights) -> Arrays:
    return {"fls": faces.resample(case.inputs()["fls"])}


# Pictures


def resunet(case: Case, weights: Weights) -> Arrays:
    x = _last(case.inputs()["x"])
    network, variables, _ = _part(weights, "translation")

    def is_level(module, method):
        return isinstance(module, translation.Level)

    if case.mode == "train":
        call = jax.jit(lambda v, x: network.apply(v, x, train=True, mutable=["batch_stats"]))
        raw, state = call(variables, x)
        statistics = {key: entry(state, key) for key in case.outputs if "running" in key}
        return {"raw": _first(raw), **statistics}
    call = jax.jit(lambda v, x: network.apply(v, x, capture_intermediates=is_level))
    raw, state = call(variables, x)
    made = {"raw": _first(raw), "image": _first(translation.shown(translation.picture(raw)))}
    level, number = state["intermediates"]["model"], 0
    while level:
        made[f"level{number}"] = _first(level["__call__"][0])
        level, number = next((v for k, v in level.items() if k != "__call__"), None), number + 1
    return made


def i2i_losses(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    predicted, target = _last(inputs["pred"]), _last(inputs["target"])
    network = VGG("vgg19")
    (name,) = weights
    variables = convert_vgg(weights.pop(name), network)

    def total(predicted, variables, target):
        terms = translation.losses(predicted, target, partial(network.apply, variables), style=True)
        return terms["l1"] + terms["perceptual"] + terms["style"], terms

    terms = jax.jit(total)(predicted, variables, target)[1]
    features = jax.jit(network.apply)(variables, predicted)

    def slope(predicted, variables, target):
        with nn.intercept_methods(PoolsOfTheReference(predicted)):
            ours = network.apply(variables, predicted)
        given = iter((ours, network.apply(variables, target)))
        terms = translation.losses(predicted, target, lambda _: next(given), style=True)
        return terms["l1"] + terms["perceptual"] + terms["style"]

    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: np.asarray(x, np.float64), (predicted, variables, target))
        gradient = np.asarray(jax.jit(jax.grad(slope))(*wide))
    named = {f"feature_{i}": _first(value) for i, value in enumerate(features.values())}
    return {**terms, **named, "grad": _first(gradient)}


CASES: dict[str, Callable[[Case, Weights], Arrays]] = {
    "autovc_encoder": autovc_encoder,
    "autovc_generator": autovc,
    "autovc_original_generator": autovc,
    "voice_encoder": voice_encoder,
    "resemblyzer_mel": resemblyzer_mel,
    "resemblyzer_slices": resemblyzer_slices,
    "resemblyzer_utterance": resemblyzer_utterance,
    "resemblyzer_pretrained": resemblyzer_pretrained,
    "resemblyzer_volume": resemblyzer_volume,
    "resemblyzer_trim": resemblyzer_trim,
    "content_eval": content,
    "content_train": content,
    "speaker_eval": speaker,
    "speaker_eval_z": speaker,
    "speaker_small": speaker,
    "positional_table": positions,
    "disc_transformer": disc_transformer,
    "disc_transformer_step16": partial(disc_transformer, step=16, keep=16),
    "disc_frame": disc_frame,
    "disc_gru": disc_gru,
    "loudness": loudness,
    "autovc_features": autovc_features,
    "autovc_features_male": partial(autovc_features, voice="M"),
    "stages": audio_stages,
    "dither": dither,
    "f0_normalise": f0_normalise,
    "windows": windows,
    "content_loss_lip_weight": content_loss,
    "content_loss_plain_l1": content_loss,
    "content_loss_plain_l1_motion": content_loss,
    "content_loss_plain_l1_laplacian": content_loss,
    "content_loss_default": content_loss,
    "paper_content_loss": paper_content_loss,
    "laplacian": laplacian,
    "register": register,
    "mouth_area": mouth_area,
    "post_combine": post_combine,
    "post_calibrate": post_calibrate,
    "post_inverse_lip": post_inverse_lip,
    "post_pipeline": post_pipeline,
    "norm_input_face": norm_input_face,
    "close_input_mouth": close_input_mouth,
    "blink": blink,
    "to_image_space": to_image_space,
    "raster68": raster,
    "raster98": raster,
    "raster74": raster,
    "puppet_norm": puppet_norm,
    "puppet_triangles": puppet_triangles,
    "puppet_bound": puppet_bound,
    "warp": warp,
    "metrics": metrics,
    "interpolate_fps": interpolate_fps,
    "resunet_eval": resunet,
    "resunet_train": resunet,
    "i2i_losses": i2i_losses,
}
