"""The commands as a user types them, on small input."""

import json

import av
import numpy as np
import pytest

from talkbench.cli.main import main
from talkbench.data import media
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.evaluators import builtin


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    clip = synthetic_clip(707, 0, 30, 96)  # this one moves its head
    media.write_image(folder / "face.png", clip.frames[0])
    media.write_video(folder / "head.mp4", clip.frames, clip.audio)
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mp4").touch()
    return folder


def error_of(capsys, *words) -> str:
    """The one line that a failing command prints."""
    assert main([str(w) for w in words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("talkbench: ")
    return lines[0]


def test_animate_makes_a_playable_video_with_the_drivers_sound(files, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    call = [
        "animate",
        "--method",
        "facevid2vid",
        "--source",
        files / "face.png",
        "--driving",
        files / "head.mp4",
    ]
    assert main([str(w) for w in [*call, "-o", out]]) == 0
    assert "30 frames of 64x64" in capsys.readouterr().out
    with av.open(str(out)) as container:
        assert container.streams.video[0].frames == 30
        assert len(container.streams.audio) == 1
    made, driver = media.read_video(out), media.read_video(files / "head.mp4", 64)
    ours, theirs = (builtin.landmark_judge().landmarks(video.frames) for video in (made, driver))
    still = np.linalg.norm(theirs - theirs[:1], axis=-1).mean()
    assert np.linalg.norm(ours - theirs, axis=-1).mean() < 0.8 * still
    assert np.corrcoef(made.audio, driver.audio)[0, 1] > 0.9

    turned = tmp_path / "turned.mp4"
    assert main([str(w) for w in [*call, "--option", "yaw=25", "-o", turned]]) == 0
    assert np.abs(media.read_video(turned).frames.astype(float) - made.frames).mean() > 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--source": "missing.png"}, "missing.png"),
        ({"--driving": "missing.mp4"}, "missing.mp4"),
        ({"--driving": "text.mp4"}, "text.mp4"),
        ({"--driving": "empty.mp4"}, "empty.mp4"),
        ({"--method": "facevid"}, "did you mean 'facevid2vid'"),
        ({"--option": "yow=3"}, "did you mean 'yaw'"),
        ({"--option": "yaw=left"}, "expected a number"),
        ({"--checkpoint": "head.mp4"}, "not a talkbench checkpoint"),
        ({"-o": "out.txt"}, "out.txt"),
    ],
)
def test_animate_with_bad_input(files, tmp_path, capsys, change, says):
    call = {
        "--method": "facevid2vid",
        "--source": "face.png",
        "--driving": "head.mp4",
        "-o": "out.mp4",
        **change,
    }
    for flag in ("--source", "--driving", "--checkpoint"):
        if flag in call:
            call[flag] = files / call[flag]
    call["-o"] = tmp_path / call["-o"]
    assert says in error_of(capsys, "animate", *(word for pair in call.items() for word in pair))
    assert not list(tmp_path.iterdir())


def test_animate_needs_a_driver(files, tmp_path, capsys):
    call = ("animate", "--method", "facevid2vid", "--source", files / "face.png", "-o", tmp_path / "o.mp4")
    assert "--driving" in error_of(capsys, *call)


def test_judge_weights_are_no_method(files, tmp_path, capsys):
    from talkbench.weights.checkpoint import SHIPPED

    call = (
        "eval",
        "--method",
        "facevid2vid",
        "--checkpoint",
        SHIPPED / "landmarks.npz",
        "--results",
        tmp_path,
    )
    assert "weights of a judge, expected a method" in error_of(capsys, *call)


def test_eval_on_ones_own_clips(files, tmp_path, capsys):
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "a.mp4").write_bytes((files / "head.mp4").read_bytes())
    (clips / "b.mp4").write_text("no video")
    call = ["eval", "--method", "facevid2vid", "--data", f"folder={clips}", "--results", tmp_path / "results"]
    assert main([str(w) for w in [*call, "--json"]]) == 0
    printed = capsys.readouterr().out
    assert "b.mp4" in printed.split("{")[0]  # what was left out, and why
    table = json.loads(printed[printed.index("{") :])
    rows = {row["method"]: row["metrics"] for row in table["rows"]}
    assert rows["oracle"]["psnr"]["value"] == 100
    assert 18 < rows["facevid2vid"]["psnr"]["value"] < 100
    assert 10 < rows["static"]["psnr"]["value"] < 100
    assert "lmd" not in rows["facevid2vid"]  # the builtin judge knows no real faces


def test_data_show(tmp_path, capsys):
    assert main(["data", "show", "--size", "64", "--clips", "1", "--out", str(tmp_path)]) == 0
    sheet, video = tmp_path / "s1000_c000.png", tmp_path / "s1000_c000.mp4"
    assert media.read_image(sheet).shape[1] > 500
    assert media.read_video(video).audio.any()
    assert "did you mean 'folder'" in error_of(capsys, "data", "show", "--data", "foldr=x")
    assert "no folder" in error_of(capsys, "data", "show", "--data", "folder=/does/not/exist")


def test_nothing_to_evaluate(capsys):
    assert "--all" in error_of(capsys, "eval")
    assert "exactly one --method" in error_of(capsys, "eval", "--all", "--data", "folder=x")


def test_unknown_words(capsys):
    assert "did you mean 'eval'" in error_of(capsys, "evla")
    with pytest.raises(SystemExit) as stop:
        main(["eval", "--method", "facevid2vid", "--colour", "red"])
    assert stop.value.code == 2
    assert "--colour" in capsys.readouterr().err
