"""The stage `video`: G_vid against its discriminator, on pairs of frames of a clip (paper section 4.2)."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from talkbench.evaluators import builtin
from talkbench.methods.hdtf import losses
from talkbench.methods.hdtf.features import Pair
from talkbench.methods.hdtf.video_networks import VideoGenerator
from talkbench.nn.discriminator import PatchDiscriminator
from talkbench.nn.pixels import pyramid_difference, window_difference
from talkbench.nn.vgg import VGG
from talkbench.stage import Stage
from talkbench.weights import readers, store
from talkbench.weights.vgg import convert_vgg

TYPES = {"float32": None, "bfloat16": jnp.bfloat16}
TEACHERS = ("vgg19", "landmarks", "none")
ROWS = 6  # of a sample grid


def network(config: ConfigDict) -> VideoGenerator:
    """G_vid of `config.model.video`."""
    return VideoGenerator(dtype=TYPES[config.train.dtype], **config.model.video)


def unit(images: jax.Array) -> jax.Array:
    """uint8 -> float32 in [0, 1]."""
    return images.astype(jnp.float32) / 255


def train_apply(module, params, stats, *args):
    """`module` in training -> (output, new statistics)."""
    made, new = module.apply(
        {"params": params, "batch_stats": stats}, *args, train=True, mutable=["batch_stats"]
    )
    return made, new.get("batch_stats", {})


def side_of(**variables) -> dict:
    """{network: flax variables} as a side of the trainer."""
    return {
        "params": {name: v["params"] for name, v in variables.items()},
        "stats": {name: v.get("batch_stats", {}) for name, v in variables.items()},
    }


def _teacher(kind: str) -> dict:
    """The frozen teacher's variables.

    Raises:
        WeightsMissing: published weights that are not there, with the command that brings them.
    """
    if kind == "vgg19":
        return {"perceptual": convert_vgg(readers.state_dict(store.path_of("vgg19")), VGG())}
    return {"perceptual": builtin.teacher()[1]} if kind == "landmarks" else {}


def _perceptual(kind: str, frozen, made, target) -> jax.Array:
    if kind == "vgg19":
        return losses.perceptual(VGG(), frozen["perceptual"], made, target)
    look = builtin.teacher()[0]
    ours, theirs = (look(frozen["perceptual"], x) for x in (made, jax.lax.stop_gradient(target)))
    return sum(jnp.abs(a - b).mean() for a, b in zip(ours, theirs, strict=True))


def video_stage(config: ConfigDict) -> Stage:
    """G_vid on the sum of the losses, then the discriminator (where `gan` or `feature_matching` has a weight)."""
    model, weights, kind = config.model, config.loss.video.to_dict(), config.model.perceptual
    if kind not in TEACHERS:
        raise ValueError(f"model.perceptual={kind!r}: there are {', '.join(TEACHERS)}")
    generator = network(config)
    critic = PatchDiscriminator(dtype=TYPES[config.train.dtype], **model.discriminator)
    adversarial = weights["gan"] > 0 or weights["feature_matching"] > 0
    absent = {"perceptual": kind == "none", "mouth": not weights["mouth"]}
    absent |= dict.fromkeys(("gan", "feature_matching"), not adversarial)
    weights = {name: weight for name, weight in weights.items() if not absent.get(name)}

    def init(key, batch):
        source = unit(batch["source"])
        keys = jax.random.split(key)
        made = generator.init(keys[0], source, batch["flow"], train=True)
        judge = side_of(discriminator=critic.init(keys[1], source, train=True)) if adversarial else None
        return side_of(video=made), judge

    def generator_loss(params, stats, discriminator, frozen, batch, rng):
        source, driving = unit(batch["source"]), unit(batch["driving"])
        out, new = train_apply(generator, params["video"], stats["video"], source, batch["flow"])
        made = out["image"]

        terms = {"reconstruction": pyramid_difference(made, driving)}
        if adversarial:
            judge = [discriminator[part]["discriminator"] for part in ("params", "stats")]
            # Statistics of these passes are dropped.
            (fake_maps, fake), _ = train_apply(critic, *judge, made)
            (real_maps, _), _ = train_apply(critic, *judge, driving)
            terms["gan"] = losses.generator_gan(fake)
            terms["feature_matching"] = losses.feature_matching(real_maps, fake_maps)
        if kind != "none":
            terms["perceptual"] = _perceptual(kind, frozen, made, driving)
        if "mouth" in batch:
            terms["mouth"] = window_difference(made, driving, batch["mouth"])
        return terms, ({"video": new}, {"made": made})

    def discriminator_loss(params, stats, outputs, batch, rng):
        params, stats = params["discriminator"], stats["discriminator"]
        (_, real), stats = train_apply(critic, params, stats, unit(batch["driving"]))
        (_, fake), stats = train_apply(critic, params, stats, outputs["made"])
        return {"discriminator_gan": losses.discriminator_gan(real, fake)}, {"discriminator": stats}

    def sample(side, frozen, batch):
        """Source, true frame, made frame, M_f, M_m, the reference warped by F_app; one row a pair."""
        source, driving = unit(batch["source"][:ROWS]), unit(batch["driving"][:ROWS])
        variables = {"params": side["params"]["video"], "batch_stats": side["stats"]["video"]}
        out = generator.apply(variables, source, batch["flow"][:ROWS])
        large = lambda x: jax.image.resize(jnp.broadcast_to(x, (*x.shape[:3], 3)), source.shape, "nearest")  # noqa: E731
        names = ("foreground_mask", "matting_mask", "warped_image")
        return jnp.stack([source, driving, out["image"], *(large(out[name]) for name in names)], 1)

    augment = config.augment
    features = Pair(augment.flip, tuple(augment.colour), augment.jitter, not absent["mouth"], model.seen_only)
    return Stage(
        "video",
        features,
        init,
        generator_loss,
        weights,
        discriminator_loss if adversarial else None,
        frozen=lambda: _teacher(kind),
        sample=sample,
    )
