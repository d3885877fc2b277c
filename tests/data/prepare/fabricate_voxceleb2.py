"""A tree in VoxCeleb2's layout, cut from a folder of other videos: for measurements, `python FILE --help`.

Speakers, videos and utterances are made up; every tenth speaker is of the test part. Landmark files beside the videos are cut
with them. Only `--distinct` files are encoded, the others are copies under names of their own: preparing reads each of them.
"""

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np
from prepare_videos import write

from talkbench.data.clip import SAMPLES_PER_FRAME
from talkbench.data.landmark_file import landmark_path, read_landmarks
from talkbench.data.media import VIDEO_SUFFIXES, MediaError, read_video

SIDE = 224
UTTERANCES = 5  # of a video, and videos of a speaker


def pieces(source: Path, frames: int):
    """Endless (pictures, sound, landmarks or None): `frames` frames (0: all) of each video in turn, each time later ones."""
    videos = []
    for path in sorted(p for p in source.rglob("*") if p.suffix in VIDEO_SUFFIXES):
        try:
            video = read_video(path, SIDE)
        except MediaError as error:
            print(f"left out {error}")
            continue
        points = None
        if landmark_path(path).exists():
            points = read_landmarks(landmark_path(path), len(video.frames))[0]
            scale = SIDE / min(video.info.width, video.info.height)  # of a square picture
            points = np.pad(points, ((0, 0), (0, 0), (0, 3 - points.shape[-1]))) * np.float32(scale)
            points[..., 2] *= -1  # as the files have it
        if len(video.frames) > frames:
            videos.append((video, points))
    if not videos:
        raise SystemExit(f"{source}: no video of more than {frames} frames")
    turn = 0
    while True:
        for video, points in videos:
            count = frames or len(video.frames)
            first = turn * 7 % (len(video.frames) - count + 1)
            chosen = slice(first, first + count)
            sound = video.audio[first * SAMPLES_PER_FRAME : (first + count) * SAMPLES_PER_FRAME]
            yield video.frames[chosen], sound, None if points is None else points[chosen]
        turn += 1


def place_of(number: int) -> str:
    """PART/mp4/ID/VIDEO/UTTERANCE.mp4 of the n-th file."""
    video, utterance = divmod(number, UTTERANCES)
    speaker, video = divmod(video, UTTERANCES)
    part = "test" if speaker % 10 == 0 else "dev"
    return f"{part}/mp4/id{speaker:05d}/video{video}/{utterance:05d}.mp4"


def fabricate(source: Path, out: Path, files: int, frames: int, distinct: int) -> None:
    """Writes the tree below `out`."""
    cut = pieces(source, frames)
    for number in range(files):
        path = out / place_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < distinct:
            write(path, *next(cut))
            continue
        original = out / place_of(number % distinct)
        for one in (original, landmark_path(original)):
            if one.exists():
                shutil.copyfile(one, landmark_path(path) if one != original else path)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, metavar="DIR", help="folder of videos of faces")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for the tree")
    parser.add_argument("--files", type=int, default=2000, metavar="N")
    parser.add_argument("--frames", type=int, default=16, metavar="N", help="of a file; 0: all of the video")
    parser.add_argument("--distinct", type=int, default=100, metavar="N", help="files that are encoded")
    given = parser.parse_args()
    fabricate(given.source, given.out, given.files, given.frames, given.distinct)
