"""The published judges as the evaluation calls them: pixels in, what the judge sees out.

    judge = load("fan-2d", weights_dir)
    points = judge.landmarks(frames)

Each has a `name` that tables print, a `hash` of its weight files, and the method of its kind
(`evaluation.measure`). Weights are the registry's files; what is missing raises `WeightsMissing`, which says
how to get it.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.batches import in_batches
from talkbench.data.clip import SAMPLES_PER_FRAME
from talkbench.data.mfcc import mfcc
from talkbench.evaluators import arcface, fan, hopenet, inception, lpips, s3fd, syncnet
from talkbench.nn.vgg import VGG
from talkbench.weights import store
from talkbench.weights.readers import state_dict
from talkbench.weights.vgg import convert_vgg

SMALLEST_TRACK = 30  # frames: 25 windows. The published pipeline wants more than 100
DETECTION_SIDE = (
    512  # frames at least this wide are shrunk by 4 before detection, as the published pipeline does
)


class _Judge:
    """Name, hash, and variables on the device."""

    def __init__(self, name: str, weights: tuple[str, ...], folder: str | Path | None):
        self.name = name
        self.paths = [store.path_of(weight, folder) for weight in weights]
        sums = [store.checksum(path) for path in self.paths]
        self.hash = sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


class Landmarks(_Judge):
    """FAN on the largest S3FD face of each frame: `landmarks(frames)`."""

    def __init__(self, folder=None, *, flip: bool = False, subpixel: bool = False):
        name = "fan-2d" + ("-flip" if flip else "") + ("-subpixel" if subpixel else "")
        super().__init__(name, ("fan-2d", "s3fd"), folder)
        self._fan = jax.device_put(fan.read_weights(self.paths[0]))
        self._s3fd = jax.device_put(s3fd.read_weights(self.paths[1]))
        self._options = {"flip": flip, "subpixel": subpixel}

    def landmarks(self, frames: np.ndarray) -> np.ndarray:
        """uint8 RGB (T, H, W, 3) -> (T, 68, 2) pixels, NaN where no face was found."""
        boxes = s3fd.largest(s3fd.detect(self._s3fd, frames))
        return fan.landmarks(self._fan, frames, boxes, **self._options)[0]


class Landmarks3D(_Judge):
    """3DFAN-4 and its depth network: `landmarks(frames)` with a third coordinate."""

    def __init__(self, folder=None, *, flip: bool = True):
        super().__init__("fan-3d" + ("-flip" if flip else ""), ("fan-3d", "fan-depth", "s3fd"), folder)
        self._fan = jax.device_put(fan.read_weights(self.paths[0]))
        self._depth = jax.device_put(fan.read_depth_weights(self.paths[1]))
        self._s3fd = jax.device_put(s3fd.read_weights(self.paths[2]))
        self._flip = flip

    def landmarks(self, frames: np.ndarray) -> np.ndarray:
        """uint8 RGB (T, H, W, 3) -> (T, 68, 3) pixels, NaN where no face was found."""
        boxes = s3fd.largest(s3fd.detect(self._s3fd, frames))
        return fan.landmarks(self._fan, frames, boxes, depth_variables=self._depth, flip=self._flip)[0]


class Features(_Judge):
    """Inception features for FID and KID: `features(frames)`."""

    def __init__(self, folder=None, *, variant: str = "fid"):
        super().__init__(f"inception-{variant}", ("fid",), folder)
        variables = jax.device_put(inception.read_weights(self.paths[0]))
        function = jax.jit(inception.features, static_argnames="variant")
        self._features = lambda frames: function(variables, frames, variant=variant)

    def features(self, frames: np.ndarray, batch: int = 8) -> np.ndarray:
        """uint8 RGB (T, H, W, 3) -> (T, 2048)."""
        return in_batches(self._features, batch, frames)


class Perceptual(_Judge):
    """LPIPS: `distance(real, fake)`."""

    def __init__(self, folder=None, *, net: str = "vgg"):
        trunk = {"vgg": "vgg16", "alex": "alexnet"}[net]
        super().__init__(f"lpips-{net}", (trunk, f"lpips-{net}"), folder)
        variables = jax.device_put(lpips.read_weights(*self.paths, net))
        function = jax.jit(lpips.distance, static_argnames="net")
        self._distance = lambda pair: function(variables, pair[:, 0], pair[:, 1], net=net)

    def distance(self, real: np.ndarray, fake: np.ndarray, batch: int = 8) -> np.ndarray:
        """Two uint8 RGB (T, H, W, 3) -> (T,)."""
        return in_batches(self._distance, batch, np.stack([real, fake], 1))


class Sync(_Judge):
    """SyncNet: `sync(frames, audio)`.

    `whole=False` follows the published pipeline without its lossy copies: the longest face track, cropped
    around the lower head. Frames narrower than `DETECTION_SIDE` are not shrunk before detection (the
    published pipeline sees whole film frames), and a quarter of the frame's side is enough for a face.
    `whole=True` takes frames as they are, right only for clips that are face crops.
    """

    def __init__(self, folder=None, *, whole: bool = False):
        names = ("syncnet",) if whole else ("syncnet", "s3fd-sync")
        super().__init__("syncnet-whole" if whole else "syncnet", names, folder)
        self._syncnet = jax.device_put(syncnet.read_weights(self.paths[0]))
        self._s3fd = None if whole else jax.device_put(s3fd.read_weights_syncnet(self.paths[1]))

    def sync(self, frames: np.ndarray, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 RGB (T, H, W, 3) and float32 (640 T,) -> features (W, 1024) of pictures and of sound.

        W is 0 where no face could be followed for `SMALLEST_TRACK` frames.
        """
        start, lips = self._lips(frames)
        sound = audio[start * SAMPLES_PER_FRAME :]
        windows = syncnet.window_count(len(lips), len(sound))
        if windows == 0:
            return np.zeros((0, 1024), np.float32), np.zeros((0, 1024), np.float32)
        video = syncnet.video_features(self._syncnet, lips, windows)
        return video, syncnet.audio_features(self._syncnet, mfcc(sound), windows)

    def _lips(self, frames: np.ndarray) -> tuple[int, np.ndarray]:
        """First frame and BGR crops of what is scored."""
        if self._s3fd is None:
            return 0, syncnet.whole_frames(frames)
        side = min(frames.shape[1:3])
        scale = 0.25 if side >= DETECTION_SIDE else 1.0
        boxes = s3fd.detect_syncnet(self._s3fd, frames, scale=scale)
        smallest = min(syncnet.TRACK_SIDE, side / 4)
        found = syncnet.tracks(boxes, SMALLEST_TRACK - 1, smallest)
        if not found:
            return 0, np.zeros((0, syncnet.SIZE, syncnet.SIZE, 3), np.uint8)
        numbers, track = max(found, key=lambda pair: len(pair[0]))
        return int(numbers[0]), syncnet.crop_track(frames, numbers, track)[..., ::-1]


class Identity(_Judge):
    """ArcFace on faces aligned by FAN's landmarks: `embed(frames)`."""

    def __init__(self, folder=None, *, order: str = "bgr"):
        super().__init__(f"arcface-irse50-{order}", ("arcface", "fan-2d", "s3fd"), folder)
        self._arcface = jax.device_put(arcface.read_weights(self.paths[0]))
        self._landmarks = Landmarks(folder, subpixel=True)
        self._order = order

    def embed(self, frames: np.ndarray, batch: int = 16) -> np.ndarray:
        """uint8 RGB (T, H, W, 3) -> (T, 512) unit vectors, NaN where no face was found."""
        points = self._landmarks.landmarks(frames)
        seen = np.flatnonzero(~np.isnan(points).any((1, 2)))
        out = np.full((len(frames), 512), np.nan, np.float32)
        if len(seen):
            faces = np.stack([arcface.align(frames[t], points[t]) for t in seen])
            out[seen] = in_batches(lambda x: arcface.embed(self._arcface, x, self._order), batch, faces)
        return out


class Pose(_Judge):
    """Hopenet on whole frames (face crops), resized to 224 directly: `pose(frames)`."""

    def __init__(self, folder=None):
        super().__init__("hopenet", ("hopenet",), folder)
        variables = jax.device_put(read_hopenet(self.paths[0]))
        function = jax.jit(lambda v, x: jnp.stack(hopenet.estimate(v, x.astype(jnp.float32) / 255), -1))
        self._pose = lambda frames: function(variables, frames)

    def pose(self, frames: np.ndarray, batch: int = 16) -> np.ndarray:
        """uint8 RGB (T, H, W, 3) -> (T, 3) yaw, pitch, roll in degrees."""
        return in_batches(self._pose, batch, frames)


def read_hopenet(path: str | Path) -> dict:
    """Hopenet's variables from `hopenet_robust_alpha1.pkl` (registry name `hopenet`)."""
    return hopenet.convert_hopenet(state_dict(path))


def read_vgg19(path: str | Path) -> dict:
    """Variables of `nn.vgg.VGG` (its default taps) from torchvision's file (registry name `vgg19`)."""
    return convert_vgg(state_dict(path), VGG("vgg19"))


# name: (kind, what makes it)
JUDGES: dict[str, tuple[str, Callable]] = {
    "fan-2d": ("landmarks", Landmarks),
    "fan-2d-flip": ("landmarks", lambda folder: Landmarks(folder, flip=True)),
    "fan-2d-subpixel": ("landmarks", lambda folder: Landmarks(folder, subpixel=True)),
    "fan-3d": ("landmarks", lambda folder: Landmarks3D(folder, flip=False)),
    "fan-3d-flip": ("landmarks", Landmarks3D),
    "inception-fid": ("features", Features),
    "inception-fid_clean": ("features", lambda folder: Features(folder, variant="fid_clean")),
    "inception-fid_tf1": ("features", lambda folder: Features(folder, variant="fid_tf1")),
    "lpips-vgg": ("lpips", Perceptual),
    "lpips-alex": ("lpips", lambda folder: Perceptual(folder, net="alex")),
    "syncnet": ("sync", Sync),
    "syncnet-whole": ("sync", lambda folder: Sync(folder, whole=True)),
    "arcface-irse50-bgr": ("identity", Identity),
    "arcface-irse50-rgb": ("identity", lambda folder: Identity(folder, order="rgb")),
    "hopenet": ("pose", Pose),
}


def load(name: str, folder: str | Path | None = None):
    """The judge called `name`, a key of `JUDGES`.

    Args:
        name: as protocols and tables write it.
        folder: of weight files (`--weights-dir`); None: the default one.

    Raises:
        WeightsMissing: a weight file isn't there; the message says how to get it.
        ValueError: no such judge.
    """
    if name not in JUDGES:
        raise ValueError(f"no published judge {name!r}: choose {', '.join(JUDGES)}")
    return JUDGES[name][1](folder)
