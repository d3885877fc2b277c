"""The synthetic benchmark as a source of clips: speech, motion, identity, picture, and exact labels."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from talkbench.data.clip import Clip
from talkbench.data.synthetic.identity import Identity, make_identity
from talkbench.data.synthetic.motion import Controls, controls
from talkbench.data.synthetic.render import Camera, draw
from talkbench.data.view import ClipView, view_of
from talkbench.geometry.head import pose_vertices
from talkbench.resources import PACKAGE

# Every change of a constant, a draw or the mesh raises it: protocols, caches and leaderboard rows carry it.
SYNTHETIC_VERSION = 1


class SyntheticError(ValueError):
    """A split, size or clip that does not exist; the message names what does."""


@dataclass(frozen=True)
class Split:
    """Which clips a split has: every identity with every clip number, all of num_frames frames."""

    identities: range
    clips: range
    num_frames: int


SPLITS = {
    "train": Split(range(192), range(5), 75),
    "val": Split(range(48), range(100, 101), 75),  # people of train, speech that train lacks
    "dev": Split(range(500, 508), range(2), 75),  # to choose judges and checkpoints
    "test": Split(range(1000, 1016), range(3), 100),  # for the leaderboard only
}


def clip_name(identity: int, clip: int) -> str:
    """Clip id, such as "s0007_c003"."""
    return f"s{identity:04d}_c{clip:03d}"


@lru_cache(maxsize=4)
def _identity(identity: int, background: int | None) -> Identity:
    return make_identity(identity, background)


def _labels(moves: Controls, visible: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "blink": moves.blink,
        "gaze": moves.gaze,
        "visible": visible,
        "phoneme": moves.phoneme,
        "stress": moves.stress,
        "f0": moves.f0,
    }


def synthetic_clip(
    identity: int, clip: int, num_frames: int, size: int, background: int | None = None, split: str = ""
) -> Clip:
    """Draw a clip; the same numbers give the same clip, whatever was drawn before.

    Args:
        identity: number of the person, >= 0.
        clip: number of the clip, >= 0; another one is other speech and motion.
        num_frames: length at 25 frames/s.
        size: edge of the frames in pixels.
        background: number of another background than the identity's own.
        split: kept with the clip.

    Returns:
        A clip with every label `Clip` knows.

    Raises:
        ValueError: negative numbers, no frames, no pixels.
    """
    moves = controls(identity, clip, num_frames)
    person = _identity(identity, background)
    camera = Camera(size)
    vertices = person.vertices(moves.expression, moves.blink, moves.gaze)
    vertices = pose_vertices(vertices, person.pose_weights, moves.pose[:, :3], moves.pose[:, 3:])
    drawing = draw(person.look, vertices, camera)
    pose = np.ones((num_frames, 6), np.float32)
    pose[:, :3] = moves.pose[:, :3]
    pose[:, 3] = camera.scale * moves.pose[:, 3]
    pose[:, 4] = -camera.scale * moves.pose[:, 4]
    return Clip(
        clip_id=clip_name(identity, clip),
        identity=f"s{identity:04d}",
        frames=drawing.frames,
        audio=moves.audio,
        landmarks=drawing.landmarks,
        landmark_source="synthetic",
        pose=pose,
        shape=np.asarray(person.shape, np.float32),
        expression=moves.expression,
        split=split,
        labels=_labels(moves, drawing.visible),
    )


@lru_cache(maxsize=1)
def mesh_checksum() -> str:
    """SHA-256 of the head's file."""
    return hashlib.sha256((PACKAGE / "geometry" / "synthetic_face.npz").read_bytes()).hexdigest()


class SyntheticSource:
    """A split of the benchmark, drawn on demand (about 1 ms a frame at 64 px, .7 s for a new identity).

    Attributes:
        name: "synthetic".
        split, size: as given.
        clip_ids: all ids, an identity's clips together.
        manifest: what the clips depend on: version, split, size, framing, mesh, identities, clips, frames.
    """

    name = "synthetic"

    def __init__(self, split: str, size: int, identities: Sequence[int] | None = None):
        """Take a split ("train", "val", "dev", "test") at `size` pixels, or some of its identities.

        Raises SyntheticError for a split, size or identity that there is not.
        """
        if split not in SPLITS:
            raise SyntheticError(f"split {split!r} of the synthetic data: there are {', '.join(SPLITS)}")
        if size < 16:
            raise SyntheticError(f"size {size} of the synthetic data: 16 pixels or more are needed")
        self.split, self.size = split, int(size)
        rule = SPLITS[split]
        self.identities = [int(i) for i in (rule.identities if identities is None else identities)]
        strangers = [i for i in self.identities if i not in rule.identities]
        if strangers or not self.identities or len(set(self.identities)) != len(self.identities):
            raise SyntheticError(
                f"identities {identities} of split {split!r}: choose some of "
                f"{rule.identities.start}..{rule.identities.stop - 1}, each once"
            )
        self._where = {clip_name(i, c): (i, c) for i in self.identities for c in rule.clips}
        self.clip_ids = list(self._where)
        self.manifest = {
            "name": self.name,
            "version": SYNTHETIC_VERSION,
            "split": split,
            "size": self.size,
            "framing": Camera(self.size).framing,
            "mesh_sha256": mesh_checksum(),
            "identities": self.identities,
            "clips": list(rule.clips),
            "num_frames": rule.num_frames,
            "seeds": "PCG64 streams [identity, 11|22|44|55|77], [background, 33], [identity, 66, clip, 0..3]",
        }

    def clip(self, clip_id: str) -> Clip:
        """Draw one clip; SyntheticError if the split has no such id."""
        if clip_id not in self._where:
            raise SyntheticError(
                f"{clip_id!r} is not in split {self.split!r} of the synthetic data; {self.clip_ids[0]!r} is"
            )
        identity, clip = self._where[clip_id]
        return synthetic_clip(identity, clip, SPLITS[self.split].num_frames, self.size, split=self.split)

    def clips(self) -> Iterator[Clip]:
        """Clips one after the other."""
        for clip_id in self.clip_ids:
            yield self.clip(clip_id)

    def view(self, clip_id: str) -> ClipView:
        """A view of a clip, drawn whole at once."""
        return view_of(self.clip(clip_id))
