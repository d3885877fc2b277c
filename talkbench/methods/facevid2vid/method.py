"""face-vid2vid as the suite sees it: one training stage and a generator of frames."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from talkbench.batches import fitting, in_batches
from talkbench.methods.facevid2vid import equivariance, losses, motion, teachers
from talkbench.methods.facevid2vid.features import Pair
from talkbench.methods.facevid2vid.networks import (
    Discriminator,
    Generator,
    HeadExpressionEstimator,
    KeypointDetector,
)
from talkbench.methods.facevid2vid.pose import angles, pose_rotation, relative_rotation, transform_keypoints
from talkbench.methods.method import Driving, Method
from talkbench.nn import pixels
from talkbench.stage import Stage

NETWORKS = ("keypoint_detector", "estimator", "generator")


def _compute(name: str):
    return {"float32": None, "bfloat16": jnp.bfloat16}[name]


def networks(config: ConfigDict) -> dict:
    """The modules of `config.model`: keypoint_detector (L), estimator (H and Delta), generator (F, M, G), discriminator."""
    model, dtype = config.model, _compute(config.train.dtype)
    section = lambda name: {k: tuple(v) if isinstance(v, list) else v for k, v in model[name].items()}  # noqa: E731
    return {
        "keypoint_detector": KeypointDetector(
            model.num_keypoints, dtype=dtype, **section("keypoint_detector")
        ),
        "estimator": HeadExpressionEstimator(model.num_keypoints, dtype=dtype, **section("estimator")),
        "generator": Generator(num_keypoints=model.num_keypoints, dtype=dtype, **section("generator")),
        "discriminator": Discriminator(dtype=dtype, **section("discriminator")),
    }


def _unit(images: jax.Array) -> jax.Array:
    return images.astype(jnp.float32) / 255


def _apply(module, params, stats, *args, train=True, **kwargs):
    variables = {"params": params, "batch_stats": stats}
    if not train:
        return module.apply(variables, *args, **kwargs), stats
    out, new = module.apply(variables, *args, train=True, mutable=["batch_stats"], **kwargs)
    return out, new["batch_stats"]


def train_stage(config: ConfigDict) -> Stage:
    """The only stage: all three generator-side networks on the sum of the losses, then the discriminator (section 3.4)."""
    nets, model, weights = networks(config), config.model, config.loss.to_dict()
    place = partial(transform_keypoints, rotation=model.rotation, pi=model.pi)
    teacher = teachers.Teachers(config.teacher)
    tied = list(config.teacher.landmarks)
    if not tied:
        weights.pop("landmarks")

    def init(key, batch):
        keys = jax.random.split(key, 4)
        source, driving = _unit(batch["source"]), _unit(batch["driving"])
        points = jnp.zeros((len(source), model.num_keypoints, 3))
        made = {
            "keypoint_detector": nets["keypoint_detector"].init(keys[0], source, train=True),
            "estimator": nets["estimator"].init(keys[1], driving, train=True),
            "generator": nets["generator"].init(keys[2], source, points, points, train=True),
        }
        side = lambda nets: {  # noqa: E731
            "params": {n: v["params"] for n, v in nets.items()},
            "stats": {n: v.get("batch_stats", {}) for n, v in nets.items()},
        }
        return side(made), side({"discriminator": nets["discriminator"].init(keys[3], driving, train=True)})

    def generator_loss(params, stats, discriminator, frozen, batch, rng):
        source, driving = _unit(batch["source"]), _unit(batch["driving"])
        stats = dict(stats)

        def call(name, *args):
            out, stats[name] = _apply(nets[name], params[name], stats[name], *args)
            return out

        warp = equivariance.draw(rng, len(driving))
        canonical = call("keypoint_detector", source)
        # One pass over source, driving and warped driving frames: their BatchNorm statistics are shared.
        poses = call("estimator", jnp.concatenate([source, driving, equivariance.warp_frames(warp, driving)]))
        source_pose, driving_pose, warped_pose = (
            jax.tree.map(lambda x, i=i: x[i * len(source) : (i + 1) * len(source)], poses) for i in range(3)
        )
        source_points, driving_points = place(canonical, source_pose), place(canonical, driving_pose)
        turn = _local_rotation(model, source_pose, driving_pose)
        made = call("generator", source, source_points, driving_points, turn)["prediction"]

        scores = lambda images: _apply(  # noqa: E731 - statistics of this pass are dropped
            nets["discriminator"], discriminator["params"]["discriminator"],
            discriminator["stats"]["discriminator"], images,
        )[0]  # fmt: skip
        fake, real = scores(made), scores(driving)
        terms = {
            "gan": losses.generator_gan(fake, model.gan),
            "feature_matching": losses.feature_matching(real, fake),
            "equivariance": losses.equivariance(driving_points, place(canonical, warped_pose), warp),
            "keypoint": losses.keypoint_prior(driving_points),
            "expression": losses.expression(driving_pose["exp"]),
            "reconstruction": pixels.pyramid_difference(made, driving),
            **teacher.terms(frozen, made, driving, angles(driving_pose), batch),
        }
        if "mouth" in batch:
            terms["mouth"] = pixels.window_difference(made, driving, batch["mouth"])
        if tied:
            both = jnp.stack([source_points, driving_points], 1)[:, :, : len(tied), :2]
            terms["landmarks"] = jnp.abs(both - batch["landmarks"]).mean()
        return terms, (stats, {"made": made, "driving_points": driving_points})

    def discriminator_loss(params, stats, outputs, batch, rng):
        params, stats = params["discriminator"], stats["discriminator"]
        real, stats = _apply(nets["discriminator"], params, stats, _unit(batch["driving"]))
        fake, stats = _apply(nets["discriminator"], params, stats, outputs["made"])
        return {"discriminator_gan": losses.discriminator_gan(real, fake, model.gan)}, {
            "discriminator": stats
        }

    def sample(side, frozen, batch):
        source, driving = _unit(batch["source"][:6]), _unit(batch["driving"][:6])
        made = _Inference(config, side).pairs(source, driving)
        return jnp.stack([source, driving, made, jnp.abs(made - driving) * 3], 1)

    features = Pair(
        landmarks=tuple(tied), mouth=weights["mouth"] > 0, headpose=teacher.headpose == "labels",
        flip=config.augment.flip, time_flip=config.augment.time_flip, colour=tuple(config.augment.colour),
    )  # fmt: skip
    if not weights["mouth"]:
        weights.pop("mouth")
    for term in teacher.absent:
        weights.pop(term)
    return Stage(
        "video",
        features,
        init,
        generator_loss,
        weights,
        discriminator_loss,
        frozen=teacher.load,
        sample=sample,
    )


def _local_rotation(model: ConfigDict, source_pose, driving_pose):
    if not model.local_rotation:
        return None
    turn = partial(pose_rotation, rotation=model.rotation, pi=model.pi)
    return relative_rotation(turn(source_pose), turn(driving_pose))


class _Inference:
    """The networks at inference (running statistics)."""

    def __init__(self, config: ConfigDict, side: dict):
        self.nets, self.model, self.side = networks(config), config.model, side

    def call(self, side, name, *args, method=None):
        variables = {"params": side["params"][name], "batch_stats": side["stats"][name]}
        return self.nets[name].apply(variables, *args, method=method)

    def place(self, canonical, pose, **angles_given):
        return transform_keypoints(
            canonical, pose, rotation=self.model.rotation, pi=self.model.pi, **angles_given
        )

    def pairs(self, source, driving):
        """Absolute mode for a batch of pairs, (B, H, W, 3) in [0, 1]."""
        canonical = self.call(self.side, "keypoint_detector", source)
        source_pose, driving_pose = (self.call(self.side, "estimator", x) for x in (source, driving))
        turn = _local_rotation(self.model, source_pose, driving_pose)
        points = self.place(canonical, source_pose), self.place(canonical, driving_pose)
        return self.call(self.side, "generator", source, *points, turn)["prediction"]


OPTIONS = {
    "mode": ("absolute", "absolute: the driver's keypoints; relative: its movement from its first frame"),
    "adapt_scale": (False, "relative mode: scale the movement by the faces' sizes"),
    "best_frame": (
        False,
        "relative mode: start from the driving frame most like the source (needs landmarks)",
    ),
    "yaw": (None, "degrees; replaces the driver's yaw (free view)"),
    "pitch": (None, "degrees; replaces the driver's pitch"),
    "roll": (None, "degrees; replaces the driver's roll"),
}


def generator(config: ConfigDict, variables: dict, batch: int | None = None):
    """`generate(source, driving, **options)`: the source's volume and keypoints once, the rest in batches of frames.

    Args:
        config: of the training run.
        variables: {"video": {"params", "stats"}}.
        batch: frames in one call (default: `batches.fitting`); the last batch is padded.
    """
    side, size = jax.device_put(variables["video"]), config.data.size
    batch = batch or fitting(25, size)
    inference = _Inference(config, side)
    model = config.model

    @jax.jit
    def read_source(side, image):
        canonical = inference.call(side, "keypoint_detector", image)
        volume = inference.call(side, "generator", image, method="appearance")
        return canonical, inference.call(side, "estimator", image), volume

    read_pose = jax.jit(lambda side, images: inference.call(side, "estimator", _unit(images)))

    @jax.jit
    def draw(side, volume, source_points, driving_points, turn):
        turn = turn if model.local_rotation else None
        made = inference.call(
            side, "generator", volume, source_points, driving_points, turn, method="animate"
        )
        return jnp.clip(jnp.round(made["prediction"] * 255), 0, 255).astype(jnp.uint8)

    def generate(
        source: np.ndarray, driving: Driving, *, mode="absolute", adapt_scale=False, best_frame=False,
        yaw=None, pitch=None, roll=None, landmarks=None,
    ) -> np.ndarray:  # fmt: skip
        """Animate `source` (H, W, 3) by `driving.frames` (T, H, W, 3), uint8 at the model's size; `OPTIONS` tells the rest.

        `landmarks`: (source (68, 2), driving (T, 68, 2)), for `best_frame`.

        Raises:
            ValueError: no driving video, a picture of another size than the model's, an unknown mode.
        """
        frames = driving.frames
        if frames is None:
            raise ValueError("facevid2vid is driven by video; pass --driving VIDEO")
        for what, shape in (("source", source.shape), ("driving video", frames.shape[1:])):
            if shape != (size, size, 3):
                raise ValueError(
                    f"the {what} is {shape[1]}x{shape[0]}, this model works at {size}x{size}; resize it"
                )
        if mode not in ("absolute", "relative"):
            raise ValueError(f"mode {mode!r}: there are absolute and relative")
        canonical, source_pose, volume = read_source(side, _unit(source[None]))
        source_points = inference.place(canonical, source_pose)
        pose = in_batches(lambda frames: read_pose(side, frames), batch, frames)
        canonical = jnp.broadcast_to(canonical, (len(frames), *canonical.shape[1:]))
        points = inference.place(canonical, pose, yaw=yaw, pitch=pitch, roll=roll)
        if mode == "relative":
            first = 0
            if best_frame:
                if landmarks is None:
                    raise ValueError("best_frame needs landmarks of source and driver; leave it out")
                first = motion.best_frame(*landmarks)
            initial = inference.place(canonical[:1], jax.tree.map(lambda x: x[first : first + 1], pose))
            scale = motion.adapt_scale(source_points[0], initial[0]) if adapt_scale else 1.0
            points = motion.relative_keypoints(source_points, points, initial, scale)
        turns = _turns(model, source_pose, pose, yaw, pitch, roll)
        return in_batches(
            lambda points, turns: draw(side, volume, source_points, points, turns), batch, points, turns
        )

    return generate


def _turns(model, source_pose, pose, yaw, pitch, roll) -> np.ndarray:
    """R_s R_d^-1 for each driving frame, or identities where the flows are plain shifts. (T, 3, 3)."""
    count = len(pose["t"])
    if not model.local_rotation:
        return np.broadcast_to(np.eye(3, dtype=np.float32), (count, 3, 3))
    turn = partial(pose_rotation, rotation=model.rotation, pi=model.pi)
    driving = turn(pose, yaw=yaw, pitch=pitch, roll=roll)
    return np.asarray(relative_rotation(jnp.broadcast_to(turn(source_pose), driving.shape), driving))


def _published(config: ConfigDict, contents) -> dict:
    from talkbench.methods.facevid2vid.published import published  # which needs this module

    return published(config, contents)


METHOD = Method(
    name="facevid2vid",
    title="face-vid2vid",
    paper="Wang, Mallya, Liu: One-Shot Free-View Neural Talking-Head Synthesis for Video Conferencing, CVPR 2021",
    driven_by=("video",),
    stages=lambda config: [train_stage(config)],
    generator=generator,
    options=OPTIONS,
    published=_published,
)
