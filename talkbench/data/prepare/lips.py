"""Whether a clip's sound and picture belong together, by a sync judge from outside (see `Settings.sync`)."""

import numpy as np

from talkbench.data.prepare.segments import Dropped
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.workplace import EncodedFrames, Workplace
from talkbench.data.store import decode_frame
from talkbench.data.view import decode_audio


def judge_clips(clips: list[dict], judge, settings: Settings, place: Workplace, key: str) -> list[tuple]:
    """Fills `meta["sync"]` of a unit's records in place, and flags those that are apart.

    Args:
        clips: as `work` makes them; their pictures are in the unit's frames file.
        judge: has `name`, `hash` and `offset(frames uint8 (T, H, W, 3), audio float32 (640 T,))`, which gives a dict with
            `offset` (frames by which the sound leads) and plain numbers beside it, or None where it sees no face.

    Returns:
        (clip, Dropped) for those beyond `settings.most_offset`; they are taken out of `clips`.
    """
    refused = []
    for clip in list(clips):
        pictures = EncodedFrames(
            place.path(key, "frames"), clip["places"][: settings.sync_frames], tuple(clip["size"])
        )
        frames = np.stack([decode_frame(data) for data in pictures])
        audio = decode_audio(np.frombuffer(clip["audio"], "<i2"))[: 640 * len(frames)]
        found = judge.offset(frames, audio) if clip["meta"]["has_audio"] else None
        if found is None:
            continue
        clip["meta"]["sync"] = {**found, "judge": judge.name, "hash": judge.hash}
        apart = abs(found["offset"])
        if apart > settings.tolerated_offset:
            clip["meta"]["flags"].append("out_of_sync")
        if settings.most_offset is not None and apart > settings.most_offset:
            side = "early" if found["offset"] > 0 else "late"
            detail = f"its sound is {apart} frames {side}, at most {settings.most_offset} are allowed ({judge.name})"
            refused.append((clip, Dropped("out_of_sync", detail)))
            clips.remove(clip)
    return refused
