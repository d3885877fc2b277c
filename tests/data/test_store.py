"""The store: round trip, atomicity, damage."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from talkbench.data.clip import Clip
from talkbench.data.store import Store, StoreError, decode_frame, encode_frame, is_store, write_store
from talkbench.data.view import decode_audio, encode_audio, view_of


def make_clip(number: int, frames: int = 6, size: int = 16, split: str = "train") -> Clip:
    rng = np.random.default_rng(number)
    return Clip(
        clip_id=f"clip{number}",
        identity=f"person{number % 2}",
        frames=rng.integers(0, 256, (frames, size, size, 3), dtype=np.uint8),
        audio=rng.uniform(-1, 1, frames * 640).astype(np.float32),
        landmarks=rng.normal(size=(frames, 68, 3)).astype(np.float32) if number else None,
        landmark_source="synthetic" if number else None,
        pose=rng.normal(size=(frames, 6)).astype(np.float32),
        shape=rng.normal(size=60).astype(np.float32),
        expression=rng.normal(size=(frames, 33)).astype(np.float32),
        split=split,
        labels={
            "phoneme": rng.integers(0, 40, frames).astype(np.int8),
            "visible": rng.random((frames, 68)) > 0.5,
        },
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    clips = [make_clip(n, frames=4 + n, split="val" if n == 3 else "train") for n in range(5)]
    return write_store(
        tmp_path_factory.mktemp("data") / "store", clips, size=16, shard_bytes=5_000, name="little"
    )


def test_round_trip(store):
    assert store.clip_ids == [f"clip{n}" for n in range(5)] and store.ids("val") == ["clip3"]
    assert store.name == "little" and len(store.manifest["shards"]) > 4  # several shards of both kinds
    for number in range(5):
        wanted, got = make_clip(number, frames=4 + number), store.clip(f"clip{number}")
        assert got.identity == wanted.identity == store.identity(got.clip_id)
        np.testing.assert_array_equal(got.frames, wanted.frames)
        assert got.audio.dtype == np.float32 and np.abs(got.audio - wanted.audio).max() <= 1 / 32767
        for name in ("landmarks", "pose", "shape", "expression", "landmark_source"):
            np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
        assert set(got.labels) == set(wanted.labels)
        for name, value in wanted.labels.items():
            np.testing.assert_array_equal(got.labels[name], value)
            assert got.labels[name].dtype == value.dtype
    store.verify()


def test_view_reads_what_the_clip_holds(store):
    clip = make_clip(4, frames=8)
    for view in (store.view("clip4"), view_of(clip)):
        assert view.num_frames == 8 and view.identity == "person0"
        np.testing.assert_array_equal(view.frames([5, 0, 5]), clip.frames[[5, 0, 5]])
        np.testing.assert_array_equal(view.frames(slice(2, 4)), clip.frames[2:4])
        np.testing.assert_array_equal(view.frame(7), clip.frames[7])
        np.testing.assert_allclose(view.audio(2, 5), clip.audio[2 * 640 : 5 * 640], atol=1 / 32767)
        outside = view.audio(-1, 9)
        assert outside.shape == (6400,) and not outside[:640].any() and not outside[-640:].any()
        np.testing.assert_allclose(outside[640:-640], clip.audio, atol=1 / 32767)
        assert not view.samples(-50, -10).any() and view.samples(9000, 9010).shape == (10,)
        np.testing.assert_array_equal(view.landmarks, clip.landmarks)
        with pytest.raises(IndexError, match="clip4"):
            view.frame(8)
        with pytest.raises(IndexError, match="clip4"):
            view.frames([-1])


def test_audio_codec_is_exact_at_both_ends():
    audio = np.array([-1, 1, 0, 2, -2], np.float32)
    np.testing.assert_array_equal(decode_audio(encode_audio(audio)), [-1, 1, 0, 1, -1])


def test_jpeg_is_close_and_smaller(tmp_path):
    y, x = np.mgrid[:64, :64]
    frame = np.stack([x * 4, y * 4, 128 + 0 * x], -1).astype(np.uint8)
    got = decode_frame(encode_frame(frame, "jpeg"))
    assert np.abs(got.astype(int) - frame).mean() < 2  # red stays red: channel order survives
    clip = Clip("a", "a", frame[None].repeat(3, 0), np.zeros(1920, np.float32))
    assert write_store(tmp_path / "jpeg", [clip], codec="jpeg").manifest["quality"] == 95


def test_same_clips_same_bytes(store, tmp_path):
    clips = (make_clip(n, frames=4 + n, split="val" if n == 3 else "train") for n in range(5))
    again = write_store(tmp_path / "other", clips, size=16, shard_bytes=5_000, name="little")
    assert again.fingerprint == store.fingerprint and again.manifest == store.manifest


def test_meta_and_extra(tmp_path):
    rejected = {}

    def clips():
        yield make_clip(1), {"source": "one.mp4", "fps": 29.97}
        rejected["two.mp4"] = "truncated"

    store = write_store(tmp_path / "s", clips(), extra={"rejected": rejected})
    assert store.meta("clip1") == {"source": "one.mp4", "fps": 29.97}
    assert store.manifest["rejected"] == {"two.mp4": "truncated"}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_works_in_other_processes(store, method):
    expected = store.clip("clip2").frames[1]  # opens the readers before the fork
    with multiprocessing.get_context(method).Pool(2) as pool:
        for got in pool.starmap(read_one, [(store, "clip2", 1)] * 4):
            np.testing.assert_array_equal(got, expected)


def read_one(store, clip_id, index):
    return store.view(clip_id).frame(index)


def test_threads_read_the_same(store):
    expected = [store.clip(clip_id).frames for clip_id in store.clip_ids]
    fresh = pickle.loads(pickle.dumps(store))
    with ThreadPoolExecutor(8) as pool:
        rows = [n % 5 for n in range(300)]
        got = pool.map(
            lambda row: (fresh.view(f"clip{row}").frames(), fresh.view(f"clip{row}").audio()), rows
        )
        for row, (frames, audio) in zip(rows, got):
            np.testing.assert_array_equal(frames, expected[row])
            assert len(audio) == 640 * len(frames)


def test_frames_in_memory_are_the_same_and_stay_at_home(store):
    fresh = pickle.loads(pickle.dumps(store))
    assert fresh.load_frames() == sum(4 + n for n in range(5)) * 16 * 16 * 3
    np.testing.assert_array_equal(fresh.view("clip1").frames([3, 0]), store.view("clip1").frames([3, 0]))
    assert len(pickle.dumps(fresh)) < 10_000
    with pytest.raises(StoreError, match="GiB"):
        fresh.load_frames(limit_bytes=1000)


def test_refuses_bad_input(tmp_path):
    with pytest.raises(StoreError, match="no clip came"):
        write_store(tmp_path / "a", [])
    with pytest.raises(StoreError, match="second clip"):
        write_store(tmp_path / "a", [make_clip(1), make_clip(1)])
    with pytest.raises(StoreError, match="16x16, but the store is 64x64"):
        write_store(tmp_path / "a", [make_clip(1)], size=64)
    with pytest.raises(StoreError, match="codec 'gif'"):
        write_store(tmp_path / "a", [make_clip(1)], codec="gif")
    with pytest.raises(StoreError, match="extra"):
        write_store(tmp_path / "a", [make_clip(1)], extra={"frames": 3})
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        write_store(tmp_path / "file", [make_clip(1)])
    with pytest.raises(StoreError, match="cannot write"):
        write_store(tmp_path / "file" / "below", [make_clip(1)])
    assert sorted(os.listdir(tmp_path)) == ["file"]  # nothing half-written anywhere


def test_overwrite_only_a_store(tmp_path):
    folder = tmp_path / "s"
    write_store(folder, [make_clip(1)])
    with pytest.raises(StoreError, match="holds a store already"):
        write_store(folder, [make_clip(2)])
    assert write_store(folder, [make_clip(2)], overwrite=True).clip_ids == ["clip2"]
    assert os.listdir(tmp_path) == ["s"]
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(StoreError, match="no store"):
        write_store(foreign, [make_clip(1)], overwrite=True)
    assert (foreign / "holiday.jpg").exists()


def test_failing_source_leaves_nothing(tmp_path):
    def clips():
        yield make_clip(1)
        raise ValueError("broken source")

    with pytest.raises(ValueError, match="broken source"):
        write_store(tmp_path / "s", clips())
    assert os.listdir(tmp_path) == []


def test_kill_in_the_middle_leaves_no_store_and_the_next_run_cleans_up(tmp_path):
    script = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_store import make_clip
        from talkbench.data.store import write_store
        def clips():
            for n in range(3):
                yield make_clip(n)
            print("writing", flush=True)
            time.sleep(60)
        write_store({str(tmp_path / "s")!r}, clips(), shard_bytes=1000)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "s").exists() and not is_store(tmp_path / "s")
    assert len(os.listdir(tmp_path)) == 1  # the hidden leftover
    (leftover,) = tmp_path.iterdir()
    leftover.with_name(leftover.name + "-old").mkdir()  # what a kill between two renames leaves
    time.sleep(0.05)
    write_store(tmp_path / "s", [make_clip(1)])
    assert os.listdir(tmp_path) == ["s"]


def test_errors_name_the_damage(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        Store(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="no manifest.json"):
        Store(tmp_path)
    folder = tmp_path / "s"
    store = write_store(folder, [make_clip(1), make_clip(2)])
    assert is_store(folder)
    with pytest.raises(StoreError, match="no clip 'x'"):
        store.view("x")
    manifest = (folder / "manifest.json").read_text()

    shard = folder / "frames-00000-of-00001.array_record"
    good = shard.read_bytes()
    shard.write_bytes(good[:-10])
    with pytest.raises(StoreError, match="bytes instead of"):
        Store(folder)
    # the middle of the shard overwritten: found by verify, and by reading at the latest
    shard.write_bytes(good[:2000] + bytes(len(good) - 4000) + good[-2000:])
    with pytest.raises(StoreError, match="checksum"):
        Store(folder).verify()
    with pytest.raises(StoreError, match="damaged"):
        for clip_id in store.clip_ids:
            Store(folder).view(clip_id).frames()
    shard.unlink()
    with pytest.raises(StoreError, match="is missing"):
        Store(folder)
    shard.write_bytes(good)

    index = (folder / "index.npz").read_bytes()
    (folder / "index.npz").write_bytes(index + b"x")
    with pytest.raises(StoreError, match="index.npz: differs"):
        Store(folder)
    (folder / "index.npz").write_bytes(index)

    for text, message in (
        ("{", "cannot be read"),
        ('{"format": "x"}', "not the manifest of a store"),
        ("[1]", "not the"),
    ):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(StoreError, match=message):
            Store(folder)
    assert not is_store(folder)
    (folder / "manifest.json").write_text(json.dumps({**json.loads(manifest), "format_version": 99}))
    with pytest.raises(StoreError, match="format version 99"):
        Store(folder)
