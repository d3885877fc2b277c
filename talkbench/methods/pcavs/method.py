"""PC-AVS as the suite sees it: its training stages and a generator of frames."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from talkbench.batches import fitting, in_batches
from talkbench.methods.method import Driving, Method
from talkbench.methods.pcavs import face, mel, networks
from talkbench.methods.pcavs.frames import crop, ping_pong
from talkbench.methods.pcavs.modules import Pass, modules
from talkbench.methods.pcavs.published import published
from talkbench.methods.pcavs.stages import stages, unit

OPTIONS = {
    "pose": (
        "auto",
        "where the head's pose comes from: driver (a video's frames, to and fro where it is shorter than the sound), "
        "source (held), zero (the zero code: frontal), or numbers a,b,... of the pose code, the rest being 0; "
        "auto: driver if there is a video, else source",
    ),
}


def generator(config: ConfigDict, variables: dict, batch: int | None = None):
    """`generate(source, driving, pose="auto")`: identity once, then frame i from window i of the sound.

    Args:
        config: of the training run.
        variables: {"generator": {"params", "stats"}}.
        batch: frames in one call (default: `batches.fitting`); the last batch is padded.
    """
    side, size = jax.device_put(variables["generator"]), config.data.size
    batch = batch or fitting(20, size)
    nets, gain = modules(config), config.model.audio_gain
    numbers = config.model.non_identity.pose_dim

    @jax.jit
    def read_source(side, image):
        run = Pass(nets, side["params"], side["stats"])
        return run("V", unit(image))[:2]

    @jax.jit
    def read_pose(side, images):
        run = Pass(nets, side["params"], side["stats"])
        return run.pose_code(run("E", unit(images), method="feature"))

    @jax.jit
    def draw(side, vector, identity_map, windows, codes):
        run = Pass(nets, side["params"], side["stats"])
        content, _ = run("A_sync", windows[..., None])
        mouth = run("E", gain * content, method="mouth_embed")
        many = lambda x: jnp.broadcast_to(x, (len(windows), *x.shape[1:]))  # noqa: E731
        made = run("G", networks.style(many(vector), mouth, codes), many(identity_map))
        return jnp.clip(jnp.round((made + 1) * 127.5), 0, 255).astype(jnp.uint8)

    def codes_of(frames):
        frames = crop(frames) if config.augment.crop else frames
        return in_batches(lambda part: read_pose(side, part), batch, frames)

    def generate(
        source: np.ndarray, driving: Driving, *, pose: str = "auto", landmarks: np.ndarray | None = None
    ) -> np.ndarray:
        """The speech of `driving.audio` by the person of `source` (H, W, 3) uint8; `OPTIONS` tells the rest.

        `landmarks` (68, 2), where they are known, tell that there is a face; else it is looked for.

        Returns uint8 (T, H, W, 3), T = whole frames of the sound; frame i belongs to its samples 640 i to 640 i + 639.

        Raises:
            ValueError: no sound, or one shorter than a frame; a picture of another size than the model's, or without a
                face; a pose that is none.
        """
        if driving.audio is None:
            raise ValueError("pcavs is driven by speech; pass --audio SOUND")
        sound, frames = driving.audio, driving.frames
        count = len(sound) // mel.SAMPLES_PER_FRAME
        if not count:
            raise ValueError(
                f"the sound has {len(sound)} samples, a frame takes {mel.SAMPLES_PER_FRAME} (40 ms); pass a longer one"
            )
        pictures = {"source": source.shape} | ({} if frames is None else {"driving video": frames.shape[1:]})
        for what, shape in pictures.items():
            if shape != (size, size, 3):
                raise ValueError(
                    f"the {what} is {shape[1]}x{shape[0]}, this model works at {size}x{size}; resize it"
                )
        if landmarks is None:
            face.check(source)
        if not np.any(sound):
            logging.getLogger(__name__).warning("the sound is silent: the mouth has nothing to say")
        image = crop(source[None]) if config.augment.crop else source[None]
        codes = pose_codes(pose, source, frames, count)
        vector, identity_map = read_source(side, image)
        windows = mel.windows(sound)
        return in_batches(lambda w, c: draw(side, vector, identity_map, w, c), batch, windows, codes)

    def pose_codes(pose, source, frames, count) -> np.ndarray:
        """The pose code of each of `count` frames, (count, pose_dim)."""
        if pose == "auto":
            pose = "source" if frames is None else "driver"
        if pose == "driver":
            if frames is None or not len(frames):
                raise ValueError("--option pose=driver needs a video: pass --driving VIDEO")
            if len(frames) < count:
                logging.getLogger(__name__).warning(
                    "the pose video has %d frames, the sound %d: it is played to and fro", len(frames), count
                )
            return codes_of(frames[:count])[ping_pong(count, len(frames[:count]))]
        if pose == "source":
            return np.repeat(codes_of(source[None]), count, 0)
        code = np.zeros(numbers, np.float32)
        if pose != "zero":
            try:
                given = [float(word) for word in pose.split(",")]
            except ValueError:
                raise ValueError(
                    f"--option pose={pose}: there are auto, driver, source, zero, or numbers such as 0.5,-0.2"
                ) from None
            if len(given) > numbers or not np.isfinite(given).all():
                raise ValueError(f"--option pose={pose}: at most {numbers} finite numbers")
            code[: len(given)] = given
        return np.repeat(code[None], count, 0)

    return generate


METHOD = Method(
    name="pcavs",
    title="PC-AVS",
    paper="Zhou, Sun, Wu, Loy, Wang, Liu: Pose-Controllable Talking Face Generation by Implicitly Modularized "
    "Audio-Visual Representation, CVPR 2021, arXiv:2104.11116",
    driven_by=("audio", "pose"),
    stages=stages,
    generator=generator,
    options=OPTIONS,
    published=published,
)
