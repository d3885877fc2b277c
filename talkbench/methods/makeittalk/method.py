"""MakeItTalk as the suite sees it: four training stages, and sound and a still to frames."""

import jax
import numpy as np
from ml_collections import ConfigDict

from talkbench.batches import fitting, in_batches
from talkbench.methods import detect
from talkbench.methods.makeittalk import (
    cartoon,
    faces,
    features,
    framing,
    postprocess,
    speaker_vector,
    translation,
)
from talkbench.methods.makeittalk.cartoon import bend
from talkbench.methods.makeittalk.published import published
from talkbench.methods.makeittalk.stages import (
    content_motion,
    converter,
    ear,
    networks,
    stages,
    translated,
    voice_params,
)
from talkbench.methods.method import Driving, Method

OPTIONS = {
    "cartoon": (False, "bend the picture itself by the landmarks (for drawings) instead of drawing it anew"),
    "head": (True, "the speaker's own head motion; false: the content branch alone"),
    "lips": (0.0, "factor of the lips' motion; 0: the config's"),
}
_CHUNK = 64  # frames of sound are padded to a multiple of it, so that few lengths are compiled


def animator(config: ConfigDict, variables: dict):
    """`f(samples, count, scene, head=True, lips=0, voice=None) -> landmarks (count, 68, 3)`: sound and a framed face
    (`framing.frame`) to posed network units at 25 frames/s. `voice`: other recordings of the speaker
    (samples), from which the speaker vector is taken instead; a few seconds tell little of a voice.

    Segments of the speaker branch's training length follow each other, each from where the last one has left the head: what
    it starts with beyond that fades out (`postprocess.settle`), and smoothing goes over the joints. In frame 0 the speaker
    moves nothing (`postprocess.head_motion`), so the head stands as the source's; the content branch's motion is all there
    from frame 0 on.
    """
    nets, model, hearing = networks(config), config.model, ear(config)
    convert, motion = converter(config), content_motion(config)
    standard = framing.standard_face(model.standard_face)
    sides = jax.device_put({name: variables[name] for name in ("voice_conversion", "content", "speaker")})
    encode = jax.jit(lambda side, mels: nets["voice_encoder"].apply({"params": voice_params(side)}, mels))

    @jax.jit
    def content(sides, mel, bins, vector, face):
        converted = convert(sides["voice_conversion"], mel[None], bins[None], vector[None])
        seen, made = motion(sides["content"], converted, face[None])
        return seen[0], made[0]

    @jax.jit
    def speaker(side, seen, vector, face):
        made = nets["speaker"].apply(
            {"params": side["params"]["speaker"]}, seen, speaker_vector.GAIN * vector[None], face=face[None]
        )
        return made["displacement"]

    def animate(samples, count, scene, head=True, lips=0.0, voice=None):
        frames = int(np.ceil(count / features.STEP))
        mel, bins = hearing.hear(samples)
        known = np.asarray(samples if voice is None else voice, np.float64)
        loud = speaker_vector.trim_silence(speaker_vector.raise_volume(known))
        vector = speaker_vector.speaker_vector(lambda mels: encode(sides["voice_conversion"], mels), loud)
        vector = np.nan_to_num(vector).astype(np.float32)  # silence has no voice
        rounded = -(-frames // _CHUNK) * _CHUNK
        under = hearing.padded(mel, bins, 0, rounded)
        frontal = scene.frontal.reshape(-1).astype(np.float32)
        seen, lip = (np.asarray(x) for x in content(sides, *under, vector, frontal))
        lip = _lips(lip[:frames], model.post, lips) @ scene.turn.T
        posed = scene.posed - [0, 0, scene.posed[:, 2].mean()]
        moves = np.zeros((frames, 68, 3))
        if head:
            start, length = 0, model.frames.speaker
            while start < frames:
                stop = min(start + length, frames)
                padded = seen[np.minimum(np.arange(start, start + length), len(seen) - 1)]
                face = posed + (moves[start - 1] if start else 0)
                told = framing.stance(face, standard) if model.anonymous else face
                made = np.asarray(
                    speaker(sides["speaker"], padded, vector, told.reshape(-1).astype(np.float32))
                )
                made = made[: stop - start].reshape(-1, 68, 3)
                made = postprocess.settle(made)
                moves[start:stop] = (
                    face - posed + (postprocess.rigid(made, face) if model.post.rigid else made)
                )
                start = stop
            moves = model.post.pose * postprocess.head_motion(moves, model.post.smoothing)
        whole = postprocess.repair_lips((scene.posed + moves + lip).reshape(frames, -1))[0].reshape(-1, 68, 3)
        if model.post.blink:
            whole = postprocess.blink(whole, postprocess.blink_centres(frames, np.random.RandomState(0)))
        return faces.resample(whole, faces.MODEL_RATE, faces.VIDEO_RATE)[:count]

    return animate


def _lips(motion: np.ndarray, post: ConfigDict, factor: float) -> np.ndarray:
    """The content branch's motion (N, 204) with the gains of `post` (or `factor`), (N, 68, 3)."""
    gains = (factor, factor) if factor else (post.lip_x, post.lip_y)
    if post.calibrate:
        return postprocess.calibrate(motion, *gains).reshape(-1, 68, 3)
    made = motion.reshape(-1, 68, 3).copy()
    made[:, features.MOUTH, :2] *= gains
    return made


def generator(config: ConfigDict, variables: dict, batch: int | None = None):
    """`generate(source, driving, **options)`; pictures are drawn in pieces of `batch` frames."""
    net, model = networks(config)["translation"], config.model
    batch = batch or fitting(25, config.data.size)
    standard = framing.standard_face(model.standard_face)
    animate = animator(config, variables)
    side = jax.device_put(variables["image_translation"])

    @jax.jit
    def draw(side, portrait, drawings, own, bent):
        given = {"portrait": portrait, "drawing": drawings, "own": own, "bent": bent}
        given = {k: jax.numpy.broadcast_to(x, drawings.shape) for k, x in given.items() if x is not None}
        weights = {"params": side["params"]["translation"], "batch_stats": side["stats"]["translation"]}
        return translation.shown(translated(net, weights, given)[0])[..., ::-1]

    def generate(
        source: np.ndarray, driving: Driving, *, cartoon=False, head=True, lips=0.0, landmarks=None
    ) -> np.ndarray:
        """Let `source` (H, H, 3) say `driving.audio`; uint8 (T, H, H, 3).

        Args:
            landmarks: (68, 2) of the source in pixels (centres at +0.5), if they are known; else they are detected.

        Raises:
            ValueError: no sound, a picture that is not square or of no fitting size, no face.
        """
        if driving.audio is None:
            raise ValueError("makeittalk is driven by audio; pass --audio SOUND")
        if source.ndim != 3 or source.shape[0] != source.shape[1] or source.shape[2] != 3:
            raise ValueError(f"the source is {source.shape}; a square RGB picture is needed")
        found = detect.landmarks(source, model.detector) if landmarks is None else landmarks
        size, count = len(source), driving.num_frames
        scene = framing.frame(found, size, standard)
        points = scene.pixels(animate(driving.audio, count, scene, head, lips))
        if cartoon:
            return _bent(source, found, points)
        own = features.draw(found, size, model.finer) if model.own_drawing else None

        def drawn(points):
            drawings = np.stack([features.draw(face, size, model.finer) for face in points])
            bent = bend(source, found, points) if model.bent else None
            return draw(side, source, drawings, own, bent)

        return np.clip(np.rint(in_batches(drawn, batch, points) * 255), 0, 255).astype(np.uint8)

    return generate


def _bent(source: np.ndarray, found: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The picture warped by its triangles: landmarks (68, 2) of it, and where they go, (T, 68, 3)."""
    size = len(source)
    inside = np.clip(np.asarray(found, np.float64)[:, :2] - 0.5, 0, size - 1)
    triangles = cartoon.triangles(inside, size, size)
    edge = cartoon.border(size, size)
    reference = np.concatenate([inside, edge])
    moved = np.concatenate([points[..., :2] - 0.5, np.broadcast_to(edge, (len(points), *edge.shape))], 1)
    made, covered = cartoon.warp(source.astype(np.float32), reference, moved, triangles)
    whole = np.where(np.asarray(covered)[..., None], np.asarray(made), source)
    return np.clip(np.rint(whole), 0, 255).astype(np.uint8)


METHOD = Method(
    name="makeittalk",
    title="MakeItTalk",
    paper="Zhou, Han, Shechtman, Echevarria, Kalogerakis, Li: MakeItTalk, SIGGRAPH Asia 2020, arXiv 2004.12992",
    driven_by=("audio",),
    stages=stages,
    generator=generator,
    options=OPTIONS,
    published=published,
)
