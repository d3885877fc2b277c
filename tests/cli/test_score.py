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
        (("--metrics", "lse_c"), "not measured from folders alone"),
        (("--skip", 99), "no clip could be scored"),
        (("--row", tmp_path / "r.json", "--driven-by", "thought"), "choose of audio, pose, video"),
    ):
        with pytest.raises(ValueError, match=text):
            call("--generated", fake, "--reference", real, *words)
