"""A folder as a source: landmarks, identities, bad files, the cache."""

import json
import multiprocessing
import os

import numpy as np
import pytest

from talkbench.data.clip import Clip
from talkbench.data.folder import FolderError, FolderSource, cached_store
from talkbench.data.media import MediaError, write_video
from talkbench.data.store import StoreError


def marked_frames(points, height=48, width=64):
    """Grey frames with one white blob of 4x4 pixels around each frame's point (x, y as in a Clip)."""
    frames = np.full((len(points), height, width, 3), 60, np.uint8)
    for frame, (x, y) in zip(frames, points):
        frame[int(y) - 2 : int(y) + 2, int(x) - 2 : int(x) + 2] = 255
    return frames


def blob(frame):
    """Centre of the white blob; pixel centres at +0.5."""
    weight = np.clip(frame.mean(-1) - 100, 0, None)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]] + 0.5
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "people"
    points = np.array([(20 + 3 * n, 12 + 4 * n) for n in range(7)], float)
    write_video(folder / "id00017#talk#000001.mp4", marked_frames(points), np.zeros(100), crf=4)
    landmarks = np.zeros((7, 68, 3), np.float32)
    landmarks[..., :2] = points[:, None] - 0.5  # the file's convention: pixel centres are integers
    landmarks[..., 2] = -8  # nearer than the head's centre
    np.savez(folder / "id00017#talk#000001.landmarks.npz", landmarks=landmarks, source="mesh")
    (folder / "id00017#talk#000001.json").write_text("{}")
    write_video(folder / "other.mkv", marked_frames(points, 32, 32), np.ones(100))
    (folder / "notes.txt").write_text("x")
    return folder


def test_clips_with_landmarks_on_their_pixels(folder):
    source = FolderSource(folder)
    assert source.clip_ids == ["id00017#talk#000001", "other"] and source.name == "people"
    clip, other = source.clips()
    assert clip.identity == "id00017" and other.identity == "other" and other.landmarks is None
    assert clip.frames.shape == (7, 48, 64, 3) and clip.audio.shape == (7 * 640,)
    assert clip.landmark_source == "file:mesh" and (clip.landmarks[..., 2] == 8).all()
    for frame, points in zip(clip.frames, clip.landmarks):
        np.testing.assert_allclose(blob(frame), points[0, :2], atol=0.15)
    assert source.rejected == {}


@pytest.mark.parametrize("size", [24, 32, 96])
def test_resized_landmarks_stay_on_their_pixels(folder, size):
    clip = FolderSource(folder, size).clip("id00017#talk#000001")
    assert clip.frames.shape == (7, size, size, 3)
    for frame, points in zip(clip.frames, clip.landmarks):
        np.testing.assert_allclose(blob(frame), points[0, :2], atol=0.3)
    np.testing.assert_allclose(clip.landmarks[..., 2], 8 * size / 48)


def test_undetected_frames_are_interpolated(folder):
    path = folder / "id00017#talk#000001.landmarks.npz"
    landmarks = np.load(path)["landmarks"]
    broken = landmarks.copy()
    broken[2] = 0
    broken[4] = np.nan
    detected = np.arange(7) != 2
    np.savez(path, landmarks=broken[..., :2], detected=detected)
    clip = FolderSource(folder).clip("id00017#talk#000001")
    np.testing.assert_allclose(clip.landmarks[..., :2], landmarks[..., :2] + 0.5, atol=1e-4)
    assert clip.landmark_source == "file:landmarks.npz" and not clip.landmarks[..., 2].any()


def test_bad_files_are_listed_and_the_rest_goes_on(folder):
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video")
    noise = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    write_video(folder / "cut.mp4", noise)
    data = (folder / "cut.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    write_video(folder / "wrong.mp4", noise)
    np.savez(folder / "wrong.landmarks.npz", landmarks=np.zeros((29, 68, 3)))
    write_video(folder / "junk.mp4", noise)
    (folder / "junk.landmarks.npz").write_text("junk")
    write_video(folder / "other.mov", noise)  # a second "other"
    source = FolderSource(folder)
    assert sorted(source.rejected) == ["empty.mp4", "other.mov", "text.mp4"]
    assert [clip.clip_id for clip in source.clips()] == ["id00017#talk#000001", "other"]
    assert sorted(source.rejected) == [
        "cut.mp4",
        "empty.mp4",
        "junk.mp4",
        "other.mov",
        "text.mp4",
        "wrong.mp4",
    ]
    assert "of 30" in source.rejected["cut.mp4"] and "29 rows" in source.rejected["wrong.mp4"]
    assert not any("\n" in reason for reason in source.rejected.values())
    with pytest.raises(MediaError, match="breaks off"):
        source.clip("cut")
    with pytest.raises(FolderError, match="no clip 'x'"):
        source.clip("x")


def test_no_usable_file_is_an_error(tmp_path):
    with pytest.raises(FolderError, match="no such folder"):
        FolderSource(tmp_path / "nowhere")
    (tmp_path / "below").mkdir()
    write_video(tmp_path / "below" / "a.mp4", np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(FolderError, match="not searched"):
        FolderSource(tmp_path)
    (tmp_path / "a.mp4").write_text("x")
    with pytest.raises(FolderError, match="none of 1 video files is usable: a.mp4 is not a video"):
        FolderSource(tmp_path)
    write_video(tmp_path / "a.mp4", np.zeros((3, 32, 32, 3), np.uint8))
    np.savez(tmp_path / "a.landmarks.npz", landmarks=np.zeros((1, 68, 2)))
    with pytest.raises(FolderError, match="none of 1 .* 1 rows"):
        list(FolderSource(tmp_path).clips())


def test_recursive_follows_the_voxceleb_tree(tmp_path):
    for path in ("id07414/a/00001.mp4", "id07414/b/00001.mp4", "id00009/c/00001.mp4", "else/00001.mp4"):
        write_video(tmp_path / path, np.zeros((3, 32, 32, 3), np.uint8))
    source = FolderSource(tmp_path, recursive=True)
    assert source.clip_ids == ["else#00001", "id00009#c#00001", "id07414#a#00001", "id07414#b#00001"]
    assert [clip.identity for clip in source.clips()] == ["else#00001", "id00009", "id07414", "id07414"]


# ---------------------------------------------------------------------------------------------- cache


def test_cache_is_reused_until_something_changes(folder, tmp_path):
    cache = tmp_path / "cache"
    (folder / "bad.mp4").write_text("x")
    store = cached_store(FolderSource(folder, 32), cache)
    assert store.clip_ids == ["id00017#talk#000001", "other"] and store.name == "people"
    assert store.manifest["rejected"] == {"bad.mp4": "is not a video file, or its index is missing"}
    assert store.manifest["source"]["size"] == 32
    assert str(tmp_path) not in json.dumps(store.manifest)  # the same on every machine
    assert store.meta("other")["path"] == "other.mkv"
    assert store.meta("id00017#talk#000001")["crop"] == [8, 0, 48]  # left, top, side
    clip = FolderSource(folder, 32).clip("id00017#talk#000001")
    np.testing.assert_array_equal(store.clip(clip.clip_id).frames, clip.frames)
    np.testing.assert_array_equal(store.clip(clip.clip_id).landmarks, clip.landmarks)

    written = (store.folder / "manifest.json").stat().st_mtime_ns
    again = cached_store(FolderSource(folder, 32), cache)
    assert again.folder == store.folder and (again.folder / "manifest.json").stat().st_mtime_ns == written
    assert cached_store(FolderSource(folder, 24), cache).folder != store.folder
    path = folder / "id00017#talk#000001.landmarks.npz"
    np.savez(path, landmarks=np.load(path)["landmarks"] + 1)
    changed = cached_store(FolderSource(folder, 32), cache)
    assert changed.folder != store.folder
    np.testing.assert_allclose(
        changed.clip(clip.clip_id).landmarks[0, 0, 0], clip.landmarks[0, 0, 0] + 32 / 48, atol=1e-4
    )


def test_damaged_cache_is_made_again(folder, tmp_path):
    store = cached_store(FolderSource(folder, 32), tmp_path / "cache")
    (store.folder / "index.npz").write_bytes(b"x")
    cached_store(FolderSource(folder, 32), tmp_path / "cache").verify()


def test_cache_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot write"):
        cached_store(FolderSource(folder, 32), tmp_path / "file")


def build(folder, cache):
    return str(cached_store(FolderSource(folder, 32), cache).folder)


def test_processes_that_ask_together_build_once(folder, tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        folders = pool.starmap(build, [(folder, tmp_path / "cache")] * 3)
    assert len(set(folders)) == 1
    assert len([name for name in os.listdir(tmp_path / "cache") if not name.endswith(".lock")]) == 1


class OneClip:
    name = "one"
    clip_ids = ["a"]
    manifest = {"kind": "test"}

    def clip(self, clip_id):
        return Clip(clip_id, "p", np.full((2, 8, 8, 3), 7, np.uint8), np.zeros(1280, np.float32))


def test_any_source_can_be_cached(tmp_path):
    assert (cached_store(OneClip(), tmp_path).clip("a").frames == 7).all()


# ---------------------------------------------------------------------------------------------- real


def test_real_folder(real, tmp_path):
    source = FolderSource(real, 64)
    assert len(source.clip_ids) == 11
    clip = source.clip("vox2_id07414_00104")
    assert clip.identity == "id07414" and clip.frames.shape == (200, 64, 64, 3)
    mouth, brows, nose = (
        clip.landmarks[:, 48:68].mean(1),
        clip.landmarks[:, 17:27].mean(1),
        clip.landmarks[:, 30],
    )
    assert (mouth[:, 1] > brows[:, 1]).all() and (nose[:, 2] > clip.landmarks[:, :17, 2].mean(1)).all()
    assert source.clip("vox2_u_00373").identity == "vox2_u_00373"


def test_real_faulty_folder(real):
    source = FolderSource(real / "raw" / "faulty", 32)
    good = [clip.clip_id for clip in source.clips()]
    assert sorted(source.rejected) == [
        "audio_only.mp4",
        "empty.mp4",
        "no_index.mp4",
        "text.mp4",
        "truncated.mp4",
    ]
    assert len(good) == 10
