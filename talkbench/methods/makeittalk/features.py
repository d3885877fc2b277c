"""What MakeItTalk's stages see of a clip in training; runs in loader workers."""

import zlib
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from talkbench.data.store import Store, clips_by_identity
from talkbench.geometry.topology import MOUTH, T_SHAPE
from talkbench.methods.makeittalk import (
    audio,
    cartoon,
    drawing,
    faces,
    framing,
    losses,
    pitch,
    speaker_vector,
)
from talkbench.methods.makeittalk.audio import WINDOW

STEP = faces.VIDEO_RATE / faces.MODEL_RATE  # video frames between two of the networks' frames


class FeatureError(ValueError):
    """A clip that is too short or has no landmarks; names the clip and the remedy."""


@dataclass(frozen=True)
class Ear:
    """How sound is heard: `pitch.TRACKERS`, `audio.PITCH_RANGES`, and how many of a window's 18 frames lie ahead."""

    tracker: str
    voice: str
    lookahead: int = WINDOW - 1

    def hear(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Float samples (n,) -> mel (F, 80), pitch bins (F,) int32."""
        return _heard(_pcm(samples), self.tracker, self.voice)

    def padded(
        self, mel: np.ndarray, bins: np.ndarray, start: int, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mel and pitch under the windows of frames start ... start + count - 1; the clip's ends are held.

        Returns:
            (count + 17, 80) and (count + 17,).
        """
        index = start - (WINDOW - 1 - self.lookahead) + np.arange(count + WINDOW - 1)
        index = np.clip(index, 0, len(mel) - 1)
        return mel[index], bins[index]


def _pcm(samples: np.ndarray) -> bytes:
    return np.clip(np.rint(np.asarray(samples) * 32767), -32768, 32767).astype(np.int16).tobytes()


@lru_cache(maxsize=1024)
def _heard(pcm: bytes, tracker: str, voice: str):
    if tracker not in pitch.TRACKERS:
        raise FeatureError(f"model.tracker={tracker!r}: there are {', '.join(pitch.TRACKERS)}")
    if voice not in audio.PITCH_RANGES:
        raise FeatureError(f"model.pitch_range={voice!r}: there are {', '.join(audio.PITCH_RANGES)}")
    samples = np.frombuffer(pcm, np.int16)
    level, _, _ = audio.normalize_loudness(samples)
    mel, normal = audio.autovc_features(level, pitch.TRACKERS[tracker], voice)
    return mel, audio.pitch_bins(normal).astype(np.int32)


@lru_cache(maxsize=1024)
def _power(pcm: bytes) -> np.ndarray:
    """Power mel (F, 40) of the voice encoder."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float64) / 32768
    return speaker_vector.power_mel(speaker_vector.raise_volume(samples))


def partial(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random partial utterance (160, 40) of a power mel, which is repeated where it is shorter."""
    mel = np.concatenate([mel] * -(-speaker_vector.PARTIAL // len(mel)))
    start = int(rng.integers(len(mel) - speaker_vector.PARTIAL + 1))
    return mel[start : start + speaker_vector.PARTIAL]


def _clips_of(view) -> list[str]:
    """Ids of the clips of a view's speaker in its store; none if it is no store's."""
    return _clips_by_identity(view.source)[view.identity] if isinstance(view.source, Store) else []


_clips_by_identity = lru_cache(maxsize=2)(clips_by_identity)


def utterances(view, rng: np.random.Generator, count: int) -> np.ndarray:
    """Partial utterances of a view's speaker, (count, 160, 40): one of this clip, the others of other clips drawn from those
    of the speaker in its store (again of this one where there are none).
    """
    others = [clip for clip in _clips_of(view) if clip != view.clip_id]
    drawn = [view] + [
        view.source.view(others[rng.integers(len(others))]) if others else view for _ in range(count - 1)
    ]
    return np.stack([partial(_power(_pcm(one.audio())), rng) for one in drawn])


def _landmarks(view) -> np.ndarray:
    if view.landmarks is None:
        raise FeatureError(f"{view.clip_id}: no landmarks; put NAME.landmarks.npz beside the video")
    return view.landmarks


def manner(view, frames: int, standard: str) -> np.ndarray:
    """How a view's speaker moves the head, (4,): `losses.amounts` of stretches of `frames` frames, the mean over those of all
    clips of the speaker in the view's store (or of this clip alone).
    """
    clips = _clips_of(view)
    rows = (
        [_amounts(view.source, clip, frames, standard) for clip in clips]
        if clips
        else [_stretches(view, frames, standard)]
    )
    return np.concatenate(rows).mean(0).astype(np.float32)


@lru_cache(maxsize=1 << 16)
def _amounts(source, clip: str, frames: int, standard: str) -> np.ndarray:
    return _stretches(source.view(clip), frames, standard)


def _stretches(view, frames: int, standard: str) -> np.ndarray:
    landmarks, face = _landmarks(view), framing.standard_face(standard)
    moved = faces.resample(framing.frame(landmarks[0], view.frame(0).shape[1], face).units(landmarks))
    count = len(moved) // frames
    return losses.amounts(
        moved[: count * frames].reshape(count, frames, 68, 3), face[T_SHAPE], faces.MODEL_RATE
    )


@dataclass(frozen=True)
class Voices:
    """`features(view, rng)` of the stage `voice_conversion`.

    `mel` (frames, 80) and `pitch` (frames,) of a random crop (zeros beyond a short clip's end), `voices` (2, 160, 40) two
    partial utterances, `who` a number of the speaker. The second utterance is of another clip of the speaker where there is
    one: two pieces of one clip would be told apart from others by their words and their noise.
    """

    ear: Ear
    frames: int = 128

    def __call__(self, view, rng: np.random.Generator) -> dict:
        mel, bins = self.ear.hear(view.audio())
        start = int(rng.integers(max(len(mel) - self.frames, 0) + 1))
        mel, bins = mel[start : start + self.frames], bins[start : start + self.frames]
        extra = self.frames - len(mel)
        return {
            "mel": np.pad(mel, ((0, extra), (0, 0))),
            "pitch": np.pad(bins, (0, extra)),
            "voices": utterances(view, rng, 2),
            "who": np.int32(zlib.crc32(view.identity.encode()) & 0x7FFFFFFF),
        }


@dataclass(frozen=True)
class Speech:
    """`features(view, rng)` of the stages `content` and `speaker`: a stretch of `frames` frames at 62.5 a second.

    `mel` (frames + 17, 80), `pitch`, `voices` (utterances, 160, 40) of the speaker; `face` (204,) frontal at rest and
    `target` (frames, 204) frontal; with `posed` also `posed_face` (204,), the face at rest with the head as in the
    stretch's first frame, `posed_target` (frames, 204), `turn` (3, 3), of frontal displacements to that head, and `seen_face`
    (204,), the face that the speaker branch is told: the posed one or, `anonymous`, the standard face in its place; with
    `mannered` also `manner` (4,), of the speaker.
    """

    ear: Ear
    frames: int
    standard: str = framing.SHIPPED
    utterances: int = 1
    posed: bool = False
    anonymous: bool = False
    mannered: bool = False

    def __call__(self, view, rng: np.random.Generator) -> dict:
        landmarks, standard = _landmarks(view), framing.standard_face(self.standard)
        available = int(np.ceil(view.num_frames / STEP))
        if available < self.frames:
            raise FeatureError(
                f"{view.clip_id}: {available} frames at 62.5 a second, {self.frames} are needed; leave the clip out, or "
                "lower config.model.frames"
            )
        mel, bins = self.ear.hear(view.audio())
        start = int(rng.integers(available - self.frames + 1))
        mel, bins = self.ear.padded(mel, bins, start, self.frames)
        size = view.frame(0).shape[1]
        first = landmarks[min(int(round(start * STEP)), len(landmarks) - 1)]
        scene = framing.frame(first, size, standard)
        posed = scene.units(landmarks)
        frontal = faces.register(posed, standard)[1]
        still = frontal[faces.reference_frame(frontal, 5)]
        now = slice(start, start + self.frames)
        flat = lambda x: x.reshape(*x.shape[:-2], -1).astype(np.float32)  # noqa: E731
        made = {
            "mel": mel, "pitch": bins, "voices": utterances(view, rng, self.utterances), "face": flat(still),
            "target": flat(faces.resample(frontal)[now]),
        }  # fmt: skip
        if self.posed:
            moved = faces.resample(posed)[now]
            # Depth counts from the first frame's: its zero in the picture is of no meaning.
            matrix, here = faces.register(moved[:1], standard)
            turn = matrix[0, :3, :3].T
            rest = moved[0] + (still - here[0]) @ turn.T
            depth = moved[0, :, 2].mean()
            rest[:, 2] -= depth
            moved[..., 2] -= depth
            told = framing.stance(moved[0], standard) if self.anonymous else rest
            made |= {
                "posed_face": flat(rest), "posed_target": flat(moved), "seen_face": flat(told), "turn": turn.astype(np.float32),
            }  # fmt: skip
        if self.mannered:
            made["manner"] = manner(view, self.frames, self.standard)
        return made


@dataclass(frozen=True)
class Pairs:
    """`features(view, rng)` of the stage `image_translation`: two random frames of a clip.

    `portrait` and `target` uint8 (S, S, 3) RGB, `drawing` of the target's landmarks (and, `own`, of the portrait's) uint8
    (S, S, 3), `window` (3,): centre and half width of the target's mouth in [-1, 1]; with `bent` also the portrait bent to
    the target's landmarks, uint8 (S, S, 3).
    """

    finer: int = 1
    own: bool = False
    bent: bool = False
    jitter: float = field(default=0.0)

    def __call__(self, view, rng: np.random.Generator) -> dict:
        landmarks = _landmarks(view)
        chosen = rng.integers(view.num_frames, size=2)
        portrait, target = view.frames(chosen)
        size = len(target)
        points = landmarks[chosen, :, :2].astype(np.float64)
        # Detected landmarks err together; half a pixel here, so that the network trusts the portrait for details.
        points[0] += rng.normal(0, self.jitter, (1, 2)) + rng.normal(0, self.jitter / 2, (68, 2))
        mouth = points[1, MOUTH]
        half = max(np.ptp(mouth[:, 0]) / 2, size / 32)
        made = {
            "portrait": portrait, "target": target, "drawing": draw(points[1], size, self.finer),
            "window": np.array([*(mouth.mean(0) / size * 2 - 1), half / size * 2], np.float32),
        }  # fmt: skip
        if self.own:
            made["own"] = draw(points[0], size, self.finer)
        if self.bent:
            made["bent"] = cartoon.bend(portrait, points[0], points[1:])[0]
        return made


def draw(points: np.ndarray, size: int, finer: int = 1) -> np.ndarray:
    """Landmarks (68, 2 or more), pixels (centres at +0.5), drawn for a picture of `size`: uint8 (size, size, 3).

    Args:
        finer: draw that many times larger and take means, so that shifts below a pixel show.
    """
    made = drawing.draw(np.asarray(points)[:, :2] * finer, size * finer, max(1, round(finer * size / 128)))
    return made if finer == 1 else cv2.resize(made, (size, size), interpolation=cv2.INTER_AREA)
