"""HDTF as the suite sees it: its training stages and a generator of frames."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from talkbench.batches import fitting, in_batches
from talkbench.data.clip import FPS, SAMPLES_PER_FRAME
from talkbench.geometry.face_model import free_model
from talkbench.methods import detect
from talkbench.methods.hdtf import animation_stage, face_fit, mesh, sound, style
from talkbench.methods.hdtf.device_flow import approximate_flow
from talkbench.methods.hdtf.fit import motion_of_fit
from talkbench.methods.hdtf.published import published
from talkbench.methods.hdtf.steady import steadied
from talkbench.methods.hdtf.video_stage import network, unit, video_stage
from talkbench.methods.method import Driving, Method, Row

OPTIONS = {
    "driver": (
        "audio",
        "audio: what the sound makes of the face; mesh: the driving clip's own mesh coefficients (needs them)",
    ),
    "steady": (0.0, "0 to below 1: how much each frame leans on the one before it, against flicker (ours)"),
}


def source_motion(landmarks: np.ndarray, side: int) -> mesh.Motion:
    """Shape, expression, pose of the face in a square picture, fitted to its landmarks (68, >= 2), centres at +0.5."""
    # Detected points are off by about a hundredth of a face; a stiffer fit does not follow that.
    fit = face_fit.fit_face(free_model(), np.asarray(landmarks)[None, :, :2], noise=0.02)
    return motion_of_fit(fit, side)


def moved(source: mesh.Motion, head: np.ndarray, gain: float = 1.0, settle: float = 0.0) -> np.ndarray:
    """The source's head, moved as a driver's head (T, 5) moves from its first frame on, `gain` times.

    With `settle` the source's own turn fades out within about so many seconds, and the head goes on from where the driver's is.
    """
    fading = np.ones((len(head), 5))
    if settle:
        fading[:, :3] = np.exp(-np.square(np.arange(len(head)) / FPS / settle))[:, None]
    return gain * head + fading * (source.head - gain * head[:1])


def listener(config: ConfigDict, variables: dict):
    """`hear(audio (640 T,), source uint8 (S, S, 3), landmarks (68, >= 2)) -> expression (T, 33), head (T, 5)` by G_ani.

    Expressions are in 0..1, the head in degrees and shares of the side, as in `mesh.Motion`.
    """
    net, kind = animation_stage.network(config), config.model.identity
    side = jax.device_put(variables["animation"])

    @jax.jit
    def run(side, frozen, audio, image, landmarks):
        made = animation_stage.animate(net, side, audio, style.embedding(kind, frozen, image, landmarks))
        return {part: made[part][0] for part in animation_stage.PARTS}

    frozen = cache(lambda: style.load(kind))

    def hear(audio: np.ndarray, source: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = np.asarray(landmarks, np.float32)[None, :, :2]
        curves = run(side, frozen(), sound.features(audio)[None], source[None], points)
        curves = {part: sound.to_video_rate(np.asarray(curve)) for part, curve in curves.items()}
        expression = np.zeros((len(curves["mouth"]), mesh.EXPRESSIONS))
        expression[:, list(mesh.MOUTH)] = curves["mouth"]
        expression[:, list(mesh.EYEBROWS)] = curves["eyebrow"]
        return np.clip(expression, 0, 1), animation_stage.head_of(curves["head"], config)

    return hear


def generator(config: ConfigDict, variables: dict, batch: int | None = None):
    """`generate(source, driving, **options)`: the reference's feature once, the rest in batches of frames."""
    net, size, model = network(config), config.data.size, config.model
    side = jax.device_put(variables["video"])
    batch = batch or fitting(25, size)
    weights = {"params": side["params"]["video"], "batch_stats": side["stats"]["video"]}

    encode = jax.jit(lambda weights, image: net.apply(weights, image, method="encode"))

    @jax.jit
    def draw(weights, image, feature, reference, driving, hidden):
        flow, _ = approximate_flow(reference, driving, size, hidden=hidden)
        many = lambda x: jnp.broadcast_to(x, (len(flow), *x.shape[1:]))  # noqa: E731
        made = net.apply(weights, many(image), many(feature), flow, method="animate")["image"]
        return jnp.clip(jnp.round(made * 255), 0, 255).astype(jnp.uint8)

    heard = listener(config, variables) if "animation" in variables else None

    def by_sound(
        still: mesh.Motion, driving: Driving, source: np.ndarray, landmarks: np.ndarray
    ) -> mesh.Motion:
        """What G_ani makes of the sound; the head starts where the source's is."""
        audio = driving.audio[: SAMPLES_PER_FRAME * driving.num_frames]
        expression, head = heard(audio, source, landmarks)
        return replace(still, expression=expression, head=moved(still, head, **model.heard_head))

    def by_mesh(still: mesh.Motion, driving: Driving) -> mesh.Motion:
        """The driver's changes from its first frame on: errors of the source's fit then cancel."""
        pose, expression = (np.asarray(x, np.float64) for x in (driving.pose, driving.expression))
        head = np.concatenate([pose[:, :3], pose[:, 3:5] / size], 1)
        return replace(
            still, expression=still.expression + expression - expression[:1], head=moved(still, head)
        )

    @jax.jit
    def backwards(before, points, hidden):
        return approximate_flow(before, points, size, hidden=hidden)[0]

    def render(
        source: np.ndarray, reference: mesh.Motion, motion: mesh.Motion, strength: float
    ) -> np.ndarray:
        """Frames of the picture `source` with its face, placed by `reference`, moved to `motion`."""
        image = unit(jnp.asarray(source[None]))
        feature = encode(weights, image)
        start_points = mesh.points(reference, size).astype(np.float32)
        points = mesh.points(motion, size).astype(np.float32)
        hidden = mesh.hidden(points) if model.seen_only else np.zeros(points.shape[:2], bool)
        drawn = in_batches(
            lambda points, hidden: draw(weights, image, feature, start_points, points, hidden),
            batch,
            points,
            hidden,
        )
        return held(drawn, points, hidden, strength) if strength else drawn

    def held(drawn: np.ndarray, points: np.ndarray, hidden: np.ndarray, strength: float) -> np.ndarray:
        """Frames that lean on the ones before them, `batch` of them in one call."""
        made = []
        for start in range(0, len(drawn), batch):
            last = made[-1][-1] if made else drawn[0]
            chosen = np.minimum(np.arange(start, start + batch), len(drawn) - 1)
            flows = backwards(points[np.maximum(chosen - 1, 0)], points[chosen], hidden[chosen])
            part = steadied(unit(last), unit(drawn[chosen]), flows, strength, model.video.align_corners)
            made.append(np.asarray(jnp.round(part * 255).astype(jnp.uint8))[: len(drawn) - start])
        return np.concatenate(made)

    def generate(
        source: np.ndarray, driving: Driving, *, driver="audio", steady=0.0, landmarks=None
    ) -> np.ndarray:
        """Animate `source` uint8 (S, S, 3) at the model's size; `OPTIONS` tells the rest.

        `landmarks`: (68, 2) of the source in pixels (centres at +0.5), if they are known; else they are detected.

        Raises:
            ValueError: a driver that is missing or unknown, a picture of another size than the model's, no face.
        """
        if source.shape != (size, size, 3):
            raise ValueError(
                f"the source is {source.shape[1]}x{source.shape[0]}, this model works at {size}x{size}; resize it"
            )
        if not 0 <= steady < 1:
            raise ValueError(f"steady {steady}: must be at least 0 and below 1")
        if driver not in ("audio", "mesh"):
            raise ValueError(f"driver {driver!r}: there are audio and mesh")
        if driver == "audio" and driving.audio is None:
            raise ValueError("hdtf is driven by audio; pass --audio SOUND")
        if driver == "audio" and heard is None:
            raise ValueError(
                "these weights hold no G_ani, which was never published: they follow mesh coefficients only"
            )
        if driver == "mesh" and (driving.expression is None or driving.pose is None):
            raise ValueError("the driving clip has no mesh coefficients; leave out driver=mesh")
        found = detect.landmarks(source, model.detector) if landmarks is None else landmarks
        still = source_motion(found, size)
        motion = by_mesh(still, driving) if driver == "mesh" else by_sound(still, driving, source, found)
        return render(source, still, motion, steady)

    return generate


METHOD = Method(
    name="hdtf",
    title="HDTF",
    paper="Zhang, Li, Ding, Fan: Flow-guided One-shot Talking Face Generation with a High-resolution Audio-visual Dataset, "
    "CVPR 2021",
    driven_by=("audio", "video"),
    stages=lambda config: [video_stage(config), animation_stage.animation_stage(config)],
    generator=generator,
    options=OPTIONS,
    rows=(
        Row("hdtf", {"driver": "audio"}, ("audio",)),
        Row("hdtf-mesh", {"driver": "mesh"}, ("coefficients",)),
    ),
    published=published,
)
