"""Rows of every table: the real frames, the source frame held still, the real frames with a wrong sound."""

from functools import cache

import numpy as np

from talkbench.data.clip import Clip
from talkbench.evaluation.candidate import Candidate
from talkbench.metrics.registry import METRICS


def static() -> Candidate:
    """The source frame, repeated: what a method must beat."""

    def generate(source: np.ndarray, driving: Clip) -> np.ndarray:
        return np.repeat(source[None], driving.num_frames, 0)

    return Candidate("static", (), generate, "baseline", {"what": "source frame repeated"})


def oracle() -> Candidate:
    """The real frames, which the runner encodes as it does all others: the best that can be had."""
    return Candidate(
        "oracle",
        ("audio", "pose", "video"),
        lambda source, driving: driving.frames,
        "baseline",
        {"what": "real frames, encoded as generated ones are"},
    )


def other_speech(source, clip_id: str, speaker) -> str:
    """The clip of the source nearest to this one in its order, the next before the last, that the same speaker speaks.

    Of one voice, so that the sound alone tells nothing; where the speaker has no other clip, the nearest of anybody.

    Args:
        speaker: `f(clip_id) -> identity`.

    Raises:
        ValueError: the source has one clip only.
    """
    ids = list(source.clip_ids)
    at = ids.index(clip_id)
    others = sorted(ids[:at] + ids[at + 1 :], key=lambda other: (abs(ids.index(other) - at), other < clip_id))
    if not others:
        raise ValueError(f"{clip_id} is the only clip of {source.name}; a wrong sound needs another one")
    return next((other for other in others if speaker(other) == speaker(clip_id)), others[0])


def wrong_audio(source) -> Candidate:
    """The real frames with the sound of other speech: only sync metrics mean something, and must be bad."""

    @cache
    def speaker(clip_id: str) -> str:
        return (source.view(clip_id) if hasattr(source, "view") else source.clip(clip_id)).identity

    def audio(clip: Clip) -> np.ndarray:
        sound = source.clip(other_speech(source, clip.clip_id, speaker)).audio
        return np.resize(sound, clip.audio.shape)  # repeated where it is shorter

    return Candidate(
        "wrong_audio",
        ("audio", "pose", "video"),
        lambda source_frame, driving: driving.frames,
        "baseline",
        {"what": "real frames with the sound of the nearest other clip of the speaker"},
        audio,
        tuple(key for key, metric in METRICS.items() if metric.judge == "sync"),
    )


def baselines(source, metrics) -> list[Candidate]:
    """The baselines of a protocol with these metrics; `wrong_audio` only where sync is measured."""
    rows = [static(), oracle()]
    if any(METRICS[key].judge == "sync" for key in metrics):
        rows.append(wrong_audio(source))
    return rows
