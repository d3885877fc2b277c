"""`talkbench score` on tiny videos."""

import argparse
import json

import numpy as np
import pytest

from talkbench.cli import score
from talkbench.data.media import write_video


def picture(noise, seed=0):
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 6, 64)
    base = 120 + 80 * np.sin(x[:, None] + x[None] + np.arange(8)[:, None, None] / 5 + seed)
    frames = (
        base[..., None] + rng.normal(0, noise, (8, 64, 64, 3)) if noise else np.repeat(base[..., None], 3, -1)
    )
    return np.clip(frames, 0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    """Whatever the machine has, these tests see no published weights."""
    monkeypatch.setenv("TALKBENCH_WEIGHTS", str(tmp_path / "weights"))


@pytest.fixture
def folders(tmp_path):
    for side, noise in (("real", 0), ("fake", 12)):
        (tmp_path / side).mkdir()
        for name in ("a", "b"):
            write_video(
                tmp_path / side / f"{name}.mp4", picture(noise, ord(name)), np.zeros(8 * 640, np.float32)
            )
    return tmp_path / "fake", tmp_path / "real"


def call(*words):
    parser = argparse.ArgumentParser()
    score.add_arguments(parser)
    return score.run(parser.parse_args([str(word) for word in words]))


def test_a_folder_against_itself_is_perfect(folders, capsys):
    _, real = folders
    assert call("--generated", real, "--reference", real, "--metrics", "psnr,ssim,l1", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert {key: cell["value"] for key, cell in answer["metrics"].items()} == {
        "psnr": 100,
        "ssim": 1,
        "l1": 0,
    }
    assert answer["metrics"]["psnr"]["clips"] == 2 and answer["codec"] == "h264"
    assert [clip["clip"] for clip in answer["clips"]] == ["a", "b"]


def test_table_csv_and_row(folders, tmp_path, capsys):
    fake, real = folders
    csv, row = tmp_path / "out.csv", tmp_path / "row.json"
    (fake / "b.mp4").write_bytes(b"no video")
    options = ("--csv", csv, "--row", row, "--name", "mine", "--driven-by", "audio", "--ms-ssim-scales", 3)
    assert call("--generated", fake, "--reference", real, *options) == 1  # b could not be read
    shown = capsys.readouterr().out
    assert "PSNR (dB)" in shown and "failed: b" in shown and "landmarks.npz" in shown
    lines = csv.read_text().splitlines()
    assert lines[0].startswith("clip,identity,metric") and any(line.startswith("a,a,psnr,") for line in lines)
    content = json.loads(row.read_text())
    assert content["row"]["method"] == "mine" and content["row"]["driven_by"] == ["audio"]
    assert 15 < content["row"]["metrics"]["psnr"]["value"] < 40


def test_mistakes_have_one_line(folders, tmp_path):
    fake, real = folders
    for words, text in (
        (("--metrics", "nope"), "unknown metric 'nope'"),
        (("--metrics", ","), "names no metric"),
        (("--metrics", "bpp"), "not measured from folders alone"),
        (("--metrics", "lmd", "--judge", "landmarks"), "write KIND=NAME"),
        (("--metrics", "lmd", "--judge", "landmarks=hopenet"), "no published judge 'hopenet' for landmarks"),
        (("--skip", 99), "no clip could be scored"),
        (("--size", 0), "--size 0: give at least 16 pixels"),
        (("--allow-length-difference", -1), "must be 0 or more"),
        (("--row", tmp_path / "r.json", "--driven-by", "thought"), "choose of audio, pose, video"),
    ):
        with pytest.raises(ValueError, match=text):
            call("--generated", fake, "--reference", real, *words)


def test_missing_weights_say_what_to_run(folders, capsys):
    fake, real = folders
    assert call("--generated", fake, "--reference", real) == 0
    shown = capsys.readouterr().out
    for name in ("fan-2d", "syncnet", "fid", "vgg16", "arcface", "hopenet"):
        assert f"run talkbench weights fetch {name}" in shown
    # asked for by name, its absence is no success
    assert call("--generated", fake, "--reference", real, "--metrics", "psnr,lpips", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert list(answer["metrics"]) == ["psnr"] and "weights fetch vgg16" in answer["unavailable"]["lpips"]


def test_weights_of_another_network(folders, tmp_path, capsys):
    from talkbench.weights import registry

    fake, real = folders
    weights = tmp_path / "weights"
    weights.mkdir()
    with open(weights / registry.by_name("hopenet").file, "wb") as file:
        np.savez(file, **{"features.0.weight": np.zeros((3, 3), np.float32)})
    for name in ("fan-2d", "s3fd"):
        (weights / registry.by_name(name).file).write_bytes(b"<html>not found</html>")
    assert call("--generated", fake, "--reference", real, "--metrics", "psnr,head_pose,lmd") == 1
    shown = capsys.readouterr().out
    assert "head_pose: hopenet cannot be loaded" in shown and "lmd: fan-2d cannot be loaded" in shown
    assert "PSNR" in shown


def test_odd_files_among_many(folders, capsys):
    """Another rate, another length, another size, frames without a face, one that is no video: each is said."""
    import av

    fake, real = folders
    for side in folders:
        for name, frames in (("long", 8), ("big", 8), ("fast", 8), ("blind", 8), ("bad", 8)):
            clip = picture(0, 1)[:frames]
            if side == fake and name == "long":
                clip = np.concatenate([clip, clip, clip])
            if side == fake and name == "big":
                clip = np.pad(clip, ((0, 0), (0, 32), (0, 32), (0, 0)))
            write_video(side / f"{name}.mp4", clip)
    for side in folders:
        rows = {"landmarks": np.random.default_rng(0).uniform(9, 50, (8, 68, 2)).astype(np.float32)}
        if side == fake:
            rows["detected"] = np.arange(8) > 3
        np.savez(side / "blind.landmarks.npz", **rows)
    (fake / "bad.mp4").write_bytes(b"\0" * 999)
    with av.open(str(fake / "fast.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=50)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for frame in np.repeat(picture(0, 1), 2, 0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    assert call("--generated", fake, "--reference", real, "--metrics", "psnr,lmd") == 1
    shown = capsys.readouterr().out
    assert "failed: long: 24 generated frames for 8 real ones" in shown
    assert "failed: big: generated at 96x96, the reference is 64x64" in shown and "failed: bad" in shown
    assert "generated: 1 clip(s): fast (50)" in shown
    assert "left out, clips: 3 failed" in shown and "3 without a face" in shown
    assert "LMD" in shown and "8.2%" in shown


def test_results_are_kept_and_compared(folders, tmp_path, capsys):
    fake, real = folders
    metrics = ("--metrics", "psnr,ssim,l1", "--reference", real)
    for name, folder in (("one", fake), ("two", real)):
        assert call("--generated", folder, *metrics, "--results", tmp_path / name, "--json") == 0
    capsys.readouterr()
    csv = tmp_path / "d.csv"
    assert call("--compare", tmp_path / "one", tmp_path / "two", "--csv", csv) == 0
    kept = capsys.readouterr().out
    assert max(map(len, kept.splitlines())) <= 80 and "PSNR ↑" in kept and "paired bootstrap" in kept
    psnr = next(line for line in kept.splitlines() if line.startswith("PSNR"))
    assert psnr.split()[-1] == "B"  # the real videos
    assert len(csv.read_text().splitlines()) == 1 + 2 * 3
    assert call("--compare", fake, real, *metrics, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["metrics"]["psnr"]["b"] == 100 and answer["metrics"]["l1"]["better"] == "b"
    assert answer["metrics"]["psnr"]["low"] > 50 and answer["b"]["clips"] == 2


def test_comparing_needs_two_of_a_kind(folders, tmp_path):
    fake, real = folders
    call(
        "--generated", fake, "--reference", real, "--metrics", "l1", "--results", tmp_path / "kept", "--json"
    )
    for words, text in (
        ((fake, real), "--reference DIR is needed"),
        ((fake, tmp_path / "kept", "--reference", real), "not one of each"),
        ((fake, real, "--generated", fake), "in place of --generated"),
    ):
        with pytest.raises(ValueError, match=text):
            call("--compare", *words)
