"""How to compute each case of ATVGnet's golden file (see `talkbench.weights.golden`).

Every function takes a case and its networks' published state dicts, loads them as a real checkpoint is loaded, and
returns arrays in the published layout. Sizes come from the state dicts and the inputs. The published landmark arrays are
third-party data: they are read from `atvgnet_pca.npz`, which is looked for beside the golden file, then in the folder
of weight files, then in `shared/golden` of the folders above this package.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax

from talkbench.geometry.topology import MOUTH
from talkbench.methods.atvgnet import audio, crop, losses, shapes
from talkbench.methods.atvgnet.convert import RULES, load_part
from talkbench.metrics import image, landmark
from talkbench.resources import PACKAGE
from talkbench.weights import store
from talkbench.weights.golden import Case, Weights
from talkbench.weights.torch_layout import entry

Arrays = dict[str, Any]
ARRAYS_FILE = "atvgnet_pca.npz"


def published_shapes(case: Case) -> shapes.Shapes:
    """The published landmark arrays.

    Raises:
        ShapeError: not found in any of the places.
    """
    folders = [case.golden.path.parent, Path(store.default_folder())]
    folders += [above / "shared" / "golden" for above in PACKAGE.parents]
    for folder in folders:
        path = folder / ARRAYS_FILE
        if path.is_file():
            with np.load(path, allow_pickle=False) as file:
                return shapes.from_arrays({name: file[name] for name in file.files}, str(path))
    raise shapes.ShapeError(f"{ARRAYS_FILE} is not at hand; put it beside {case.golden.path}")


def _last(x: np.ndarray) -> np.ndarray:
    """(B, C, H, W) or (B, T, C, H, W) -> channels last."""
    return np.moveaxis(x, -3, -1)


def _first(x: Any) -> np.ndarray:
    """The inverse of `_last`; arrays without pixels stay as they are."""
    x = np.asarray(x)
    return np.moveaxis(x, -1, -3) if x.ndim > 3 else x


def _one(x: Any) -> np.ndarray:
    """A scalar as golden files hold it."""
    return np.reshape(np.asarray(x), 1)


def _train_settings(case: Case, **more) -> dict:
    return {"per_step": True, **more} if case.mode == "train" else {}


def _variables(params, stats) -> dict:
    return {"params": params, "batch_stats": stats}


# Accumulators of the vectorised float32 norm that golden files were made with.
_LANES = 8


def _norm(x: np.ndarray) -> float:
    """L2 norm as the golden files took it: float32 sums in `_LANES` accumulators.

    Of a tensor of 25 million values that loses 1.7e-3, more than the tolerance; our gradients in float64 and in float32
    agree to 1e-8 there, so the difference is this sum and nothing else.
    """
    flat = np.ascontiguousarray(x, np.float32).reshape(-1)
    squares = np.square(np.pad(flat, (0, -len(flat) % _LANES))).reshape(-1, _LANES)
    return float(np.sqrt(squares.sum(0, dtype=np.float32).sum(dtype=np.float32)))


def _norms(gradients: Mapping, keys: Iterable[str]) -> np.ndarray:
    """L2 norm of each parameter's gradient in the order of the state dict; 0 for those that nothing calls."""
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    keys = [key for key in keys if key.rpartition(".")[2] not in buffers]
    unused = [key.startswith("decoder.") for key in keys]
    return np.array(
        [
            0.0 if skip else _norm(entry({"params": gradients}, key, RULES))
            for key, skip in zip(keys, unused, strict=True)
        ]
    )


# AT-net


def at_net(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    part = load_part(weights[name], "atnet")
    inputs = case.inputs()
    made = jax.jit(part.network.apply)(part.variables, inputs["example_landmark"], inputs["audio"])
    table, codes = published_shapes(case), np.asarray(made["codes"])
    flat = codes.reshape(-1, codes.shape[-1])
    decoded = {f"landmarks_{how}": shapes.decode(flat, table, how) for how in ("demo", "test")}
    return {
        **{key: _first(x) for key, x in made.items()}, **decoded, "landmarks_plain": shapes.decode(flat, table),
    }  # fmt: skip


def at_net_train(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    state = weights[name]
    network, variables = load_part(state, "atnet", **_train_settings(case))
    inputs = case.inputs()

    def loss(params, stats):
        made, new = network.apply(
            _variables(params, stats),
            inputs["example_landmark"],
            inputs["audio"],
            train=True,
            mutable=["batch_stats"],
        )
        return losses.codes(made["codes"], inputs["target"]), (made["codes"], new)

    call = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (codes, new)), gradients = call(variables["params"], variables["batch_stats"])
    norms = [key.removesuffix("running_mean") for key in state if key.endswith("running_mean")]
    made = {"codes": codes, "loss": _one(value), "grad_norms": _norms(gradients, state)}
    for label, key in (("bn0", norms[0]), ("bn6", norms[-1])):
        for what in ("running_mean", "running_var"):
            made[f"{label}_{what}"] = entry(new, key + what, RULES)
    return made


def at_single(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    part = load_part(weights[name], "atsingle")
    return {"codes": jax.jit(part.network.apply)(part.variables, case.inputs()["audio"])}


def pca(case: Case, weights: Weights) -> Arrays:
    table, count = published_shapes(case), case.outputs["codes"].shape[-1]
    codes = shapes.encode(shapes.SCALE * case.inputs()["landmark"], table, count)
    return {"codes": codes, "back": shapes.decode(codes, table)}


# VG-net


def conv_gru(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    part = load_part(weights[name], "conv_gru")
    out, state = jax.jit(part.network.apply)(part.variables, _last(case.inputs()["x"]))
    return {"output": _first(out), "last": _first(state)[None]}


_STAGES = {  # name of a stage in golden files -> ours
    "output": "output", "att": "attention", "color": "colour", "lmark_att": "landmark_attention",
    "rnn_input": "rnn_input", "rnn_output": "rnn_output", "v_feature1": "drawn", "base": "base",
    "image_feature1": "image_feature1", "image_feature": "image_feature", "example_stage2": "example_stage2",
    "example_feature": "example_feature",
}  # fmt: skip


def vg_net(case: Case, weights: Weights, gru_axis: str = "batch") -> Arrays:
    (name,) = case.networks
    train = case.mode == "train"
    network, variables = load_part(
        weights.pop(name), "vgnet", gru_axis=gru_axis, dropout=0.0, **_train_settings(case)
    )
    inputs = case.inputs()

    @jax.jit
    def run(variables, image, landmarks, example):
        made, new = network.apply(variables, image, landmarks, example, train=train, mutable=["batch_stats"])
        wanted = {theirs: made[ours] for theirs, ours in _STAGES.items() if theirs in case.outputs}
        return {**wanted, "step0_feature": made["landmark_feature"][:, 0]}, new

    made, new = run(variables, _last(inputs["image"]), inputs["landmarks"], inputs["example_landmark"])
    after = {
        key: entry(new, key.removeprefix("after."), RULES) for key in case.outputs if key.startswith("after.")
    }
    return {**{key: _first(x) for key, x in made.items()}, **after}


# Discriminator, losses, a step


def discriminator(case: Case, weights: Weights) -> Arrays:
    (name,) = case.networks
    train = case.mode == "train"
    network, variables = load_part(weights.pop(name), "discriminator", **_train_settings(case))
    inputs = case.inputs()

    @jax.jit
    def run(variables, frames, example):
        return network.apply(variables, frames, example, train=train, mutable=["batch_stats"])[0]

    made = run(variables, _last(inputs["xs"]), inputs["example_landmark"])
    logit = np.asarray(made["logit"])
    return {
        **{key: made[key] for key in ("img_feature", "lmark_feature", "lstm", "landmarks")},
        "image_conv_step0": _first(made["image_conv"][:, 0]), "logit": logit[:, None, None],
        "decision": 1 / (1 + np.exp(-logit)),
    }  # fmt: skip


def all_losses(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    fake, real, att = (_last(inputs[name]) for name in ("fake", "real", "att"))
    logit = lambda p: jnp.log(p) - jnp.log1p(-p)  # noqa: E731 - golden files give decisions after their sigmoid

    def generator(fake, d_fake, pred_f):
        terms = {
            "loss_pix": losses.pixel(fake, real, att), "loss_gen": losses.judged(logit(d_fake), True),
            "loss_lmark": losses.landmark(pred_f, inputs["gt"]),
        }  # fmt: skip
        return _total(terms), terms

    call = jax.jit(jax.value_and_grad(generator, (0, 1, 2), has_aux=True))
    (loss, terms), gradients = call(fake, inputs["d_fake"], inputs["pred_f"])
    disc = losses.judged(logit(inputs["d_real"]), True) + losses.judged(logit(inputs["d_fake"]), False)
    disc += losses.landmark(inputs["pred_f"], inputs["gt"]) + losses.landmark(inputs["pred_r"], inputs["gt"])
    made = {name: _one(x) for name, x in {**terms, "loss": loss, "loss_disc": disc}.items()}
    names = ("grad_fake", "grad_d_fake", "grad_pred_f")
    return {**made, **{name: _first(x) for name, x in zip(names, gradients, strict=True)}}


def _total(terms: Mapping[str, jax.Array]) -> jax.Array:
    return 10 * terms["loss_pix"] + terms["loss_gen"] + terms["loss_lmark"]


def train_step(case: Case, weights: Weights) -> Arrays:
    """One published iteration: the discriminator's step, then the generator's losses against the moved discriminator."""
    keys = {name: list(weights[name]) for name in case.networks}
    g_name, d_name = case.networks
    generator, g_vars = load_part(weights.pop(g_name), "vgnet", gru_axis="batch", per_step=True, dropout=0.0)
    disc, d_vars = load_part(weights.pop(d_name), "discriminator", per_step=True)
    inputs = case.inputs()
    image, real = _last(inputs["example_img"]), _last(inputs["right_img"])
    target, example = inputs["right_landmark"], inputs["example_landmark"]

    def draw(params, stats):
        made, new = generator.apply(
            _variables(params, stats), image, target, example, train=True, mutable=["batch_stats"]
        )
        return made, new["batch_stats"]

    def judge(params, stats, frames):
        made, new = disc.apply(
            _variables(params, stats), frames, example, train=True, mutable=["batch_stats"]
        )
        return made, new["batch_stats"]

    def d_loss(params, stats, fake):
        on_real, stats = judge(params, stats, real)
        on_fake, stats = judge(params, stats, fake)
        terms = {
            "loss_real": losses.judged(on_real["logit"], True), "loss_fake": losses.judged(on_fake["logit"], False),
            "loss_lmark_r": losses.landmark(on_real["landmarks"], target),
            "loss_lmark_f": losses.landmark(on_fake["landmarks"], target),
        }  # fmt: skip
        decisions = {"d_real": jax.nn.sigmoid(on_real["logit"]), "d_fake": jax.nn.sigmoid(on_fake["logit"])}
        return sum(terms.values()), (terms, decisions, stats)

    def g_loss(params, stats, d_params, d_stats):
        made, stats = draw(params, stats)
        judged, _ = judge(d_params, d_stats, made["output"])
        terms = {
            "loss_pix": losses.pixel(made["output"], real, made["attention"]),
            "loss_gen": losses.judged(judged["logit"], True),
            "loss_lmark": losses.landmark(judged["landmarks"], target),
        }  # fmt: skip
        return _total(terms), (terms, stats)

    g_params, g_stats = g_vars["params"], g_vars["batch_stats"]
    d_params, d_stats = d_vars["params"], d_vars["batch_stats"]
    fake, g_stats = jax.jit(lambda p, s: _output_only(draw(p, s)))(g_params, g_stats)
    (d_value, (d_terms, decisions, d_stats)), d_grads = jax.jit(jax.value_and_grad(d_loss, has_aux=True))(
        d_params, d_stats, fake
    )
    made = {"disc_grad_norms": _norms(d_grads, keys[d_name]), **decisions}
    adam = optax.adam(2e-4, 0.5, 0.999, 1e-8)
    changes, _ = adam.update(d_grads, adam.init(d_params))
    d_params = optax.apply_updates(d_params, changes)
    del d_grads, changes
    (g_value, (g_terms, _)), g_grads = jax.jit(jax.value_and_grad(g_loss, has_aux=True))(
        g_params, g_stats, d_params, d_stats
    )
    made["gen_grad_norms"] = _norms(g_grads, keys[g_name])
    scalars = {**d_terms, **g_terms, "loss_disc": d_value, "loss": g_value}
    return made | {name: _one(x) for name, x in scalars.items()}


def _output_only(made: tuple[dict, Any]) -> tuple[jax.Array, Any]:
    return made[0]["output"], made[1]


# Data


def mfcc(case: Case, weights: Weights) -> Arrays:
    speech = case.inputs()["speech"]
    raw = audio.features(speech)
    # Only the text of the call says which example frame the training windows follow.
    stated = re.search(r"r=(\d+)", case.golden.manifest["cases"][case.name].get("call", ""))
    first = (int(stated.group(1)) if stated else 5) + 1
    return {
        "mfcc_raw": raw, "mfcc_padded": audio.features(np.pad(speech, audio.PADDING)),
        "windows": audio.demo_windows(speech),
        "train_windows": audio.windows(raw, np.arange(first, first + case.outputs["train_windows"].shape[0])),
    }  # fmt: skip


def normalisation(case: Case, weights: Weights) -> Arrays:
    moved, aligned = shapes.normalise_published(case.inputs()["lmarks"], published_shapes(case))
    return {"pred_seq": moved, "norm_list": aligned}


def align(case: Case, weights: Weights) -> Arrays:
    inputs = case.inputs()
    points = np.asarray(inputs["landmark"], np.float64).reshape(68, 2)
    return crop.published_region(inputs["roi"], points, published_shapes(case).base_68)


# Metrics as the published script computes them


def metrics(case: Case, weights: Weights) -> Arrays:
    """SSIM and both PSNRs of a pair of BGR pictures at 256 px."""
    pair = [_resized(x) for x in case.inputs().values()]
    real, fake = (x[None, ..., ::-1] for x in pair)
    return {
        "real_resized": pair[0], "real_grey": image.luma(real)[0],
        "ssim": _one(image.ssim(real, fake, data_range=255, variant="uniform7_rgb")),
        "psnr_published": _one(image.psnr_atvgnet(real, fake)), "psnr_true": _one(image.psnr_luma(real, fake)),
    }  # fmt: skip


def _resized(picture: np.ndarray) -> np.ndarray:
    if picture.shape[:2] == (256, 256):
        return picture
    return cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)


def lmd(case: Case, weights: Weights) -> Arrays:
    tracks = []
    for mouth in case.inputs().values():
        track = np.zeros((len(mouth), shapes.POINTS, 2))
        track[:, MOUTH] = mouth.reshape(len(mouth), len(MOUTH), 2)
        tracks.append(track)
    sums = landmark.lmd_script(*tracks)
    mean = landmark.lmd_per_frame(*tracks).mean()
    return {"per_frame_published": sums, "lmd_published": _one(sums.mean()), "lmd_paper": _one(mean)}


CASES: dict[str, Callable[[Case, Weights], Arrays]] = {
    "at_eval": at_net,
    "at_train": at_net_train,
    "at_single_eval": at_single,
    "pca": pca,
    "conv_gru": conv_gru,
    "vg_b1": vg_net,
    "vg_b2": vg_net,
    "vg_time_recurrent": partial(vg_net, gru_axis="time"),
    "vg_train": vg_net,
    "disc_eval": discriminator,
    "disc_train": discriminator,
    "losses": all_losses,
    "train_step": train_step,
    "mfcc": mfcc,
    "norm_single": normalisation,
    "norm_sequence": normalisation,
    "align": align,
    "metrics_small": metrics,
    "metrics": metrics,
    "lmd": lmd,
}
