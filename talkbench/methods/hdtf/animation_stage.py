"""The stage `animation`: G_ani against one discriminator each for mouth, eyebrows and head (paper section 4.1)."""

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from talkbench.methods.hdtf import losses, style
from talkbench.methods.hdtf.animation_networks import AnimationDiscriminator, AnimationGenerator
from talkbench.methods.hdtf.features import Speech
from talkbench.methods.hdtf.video_stage import ROWS, TYPES, side_of, train_apply
from talkbench.nn.norm import BatchNorm
from talkbench.stage import Stage

PARTS = ("mouth", "eyebrow", "head")
_STANDARD = BatchNorm(momentum=0.05, affine=False)  # keeps the training set's statistics of the sound


def network(config: ConfigDict) -> AnimationGenerator:
    """G_ani of `config.model.animation`."""
    return AnimationGenerator(dtype=TYPES[config.train.dtype], **config.model.animation)


def animate(net: AnimationGenerator, side: dict, audio: jax.Array, identity: jax.Array) -> dict:
    """G_ani at inference on sound (B, n, 15) as `sound.features` gives it; see `AnimationGenerator`."""
    heard = _STANDARD.apply({"batch_stats": side["stats"]["sound"]}, audio)
    variables = {"params": side["params"]["animation"], "batch_stats": side["stats"]["animation"]}
    return net.apply(variables, heard, identity)


def animation_stage(config: ConfigDict) -> Stage:
    """G_ani on L1 of the mouth, the similarity over time of brows and head, and three adversarial terms."""
    model, kind = config.model, config.model.identity
    generator = network(config)
    critic = AnimationDiscriminator(dtype=TYPES[config.train.dtype], **model.animation_discriminator)

    def init(key, batch):
        keys = jax.random.split(key, 4)
        audio = batch["audio"]
        identity = jnp.zeros((len(audio), identity_size(kind)))
        made = generator.init(keys[0], audio, identity, train=True)
        heard = _STANDARD.init(keys[0], audio, train=True)
        judges = {part: critic.init(k, batch[part], audio) for part, k in zip(PARTS, keys[1:], strict=True)}
        return side_of(animation=made, sound={"params": {}, **heard}), side_of(**judges)

    def generator_loss(params, stats, discriminator, frozen, batch, rng):
        heard, sound_stats = train_apply(_STANDARD, {}, stats["sound"], batch["audio"])
        identity = style.embedding(kind, frozen["identity"], batch["image"], batch["landmarks"])
        made, new = train_apply(generator, params["animation"], stats["animation"], heard, identity)
        terms = {
            "mouth": losses.parameter_l1(made["mouth"], batch["mouth"]),
            "eyebrow": losses.temporal_ssim(made["eyebrow"], batch["eyebrow"]),
            "head": losses.temporal_ssim(made["head"], batch["head"]),
        }
        for part in PARTS:
            score = critic.apply({"params": discriminator["params"][part]}, made[part], heard)
            terms[f"gan_{part}"] = losses.generator_gan(score)
        outputs = {part: made[part] for part in PARTS} | {"heard": heard}
        return terms, ({"animation": new, "sound": sound_stats}, outputs)

    def discriminator_loss(params, stats, outputs, batch, rng):
        terms = {}
        for part in PARTS:
            real, fake = (
                critic.apply({"params": params[part]}, curves[part], outputs["heard"])
                for curves in (batch, outputs)
            )
            terms[f"discriminator_{part}"] = losses.discriminator_gan(real, fake)
        return terms, stats

    def sample(side, frozen, batch):
        """Curves, true (green) and made (red): jaw, then the first eyebrow, then yaw; one row a clip."""
        few = {name: value[:ROWS] for name, value in batch.items()}
        identity = style.embedding(kind, frozen["identity"], few["image"], few["landmarks"])
        made = animate(generator, side, few["audio"], identity)
        ranges = {"mouth": (0.0, 1.0), "eyebrow": (0.0, 1.0), "head": (-2.0, 2.0)}
        return jnp.stack([_curves(few[p][..., 0], made[p][..., 0], *ranges[p]) for p in PARTS], 1)

    own = config.animation.to_dict()
    return Stage(
        "animation",
        Speech(model.frames, tuple(model.head_scale)),
        init,
        generator_loss,
        config.loss.animation.to_dict(),
        discriminator_loss,
        frozen=lambda: {"identity": style.load(kind)},
        settings={name: own[name] for name in ("optimizer", "train")},
        sample=sample,
    )


def identity_size(kind: str) -> int:
    """Length of the identity embedding."""
    shapes = {
        "image": jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.uint8),
        "landmarks": jax.ShapeDtypeStruct((1, 68, 2), jnp.float32),
    }
    if kind == "arcface":
        return 512
    look = lambda image, landmarks: style.embedding(kind, style.load(kind), image, landmarks)  # noqa: E731
    return jax.eval_shape(look, **shapes).shape[-1]


def _curves(true: jax.Array, made: jax.Array, low: float, high: float, height: int = 64) -> jax.Array:
    """Two families of curves (N, T) as pictures (N, height, T, 3)."""
    level = (height - 0.5 - jnp.arange(height)) / height * (high - low) + low

    def drawn(curve):
        near = (curve[:, None] - level[:, None]) * (height / (high - low))
        return jnp.exp(-jnp.square(near))

    return jnp.stack([drawn(made), drawn(true), jnp.zeros((len(true), height, true.shape[1]))], -1)


def head_of(curves: np.ndarray, config: ConfigDict) -> np.ndarray:
    """G_ani's head curves (T, 5) -> degrees and shares of the side, as in `mesh.Motion`."""
    return np.asarray(curves, np.float64) * np.asarray(config.model.head_scale)
