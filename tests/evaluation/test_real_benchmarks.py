"""The protocols of VoxCeleb2 and HDTF on a folder of made-up clips that carry such names."""

from dataclasses import replace

import numpy as np
import pytest
from toy_benchmark import Features, Landmarks

from talkbench.data.media import write_video
from talkbench.evaluation import baselines, benchmark, runner
from talkbench.evaluation.candidate import Candidate
from talkbench.evaluation.protocol import load
from talkbench.evaluation.results import read_rows
from talkbench.leaderboard.tables import best, build, markdown, warnings

EIGHT = ("psnr", "ssim", "fid", "lmd", "d_ll", "d_v", "akd", "lse_c")
PICTURES = {"l1", "psnr", "ssim"}  # what 32 px and no weights leave


def film(path, seed, frames=130):
    level = 90 + 60 * np.sin(np.arange(frames) / 4 + seed)
    pictures = np.random.default_rng(seed).integers(0, 60, (1, 32, 32, 3)).repeat(frames, 0)
    pictures[:, 16:, 8:24] += level[:, None, None, None].astype(int)
    write_video(path, pictures.astype(np.uint8), np.sin(np.arange(frames * 640) / 9) * 0.1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TALKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TALKBENCH_WEIGHTS", str(tmp_path / "none"))
    place = tmp_path / "videos"
    place.mkdir()
    for seed, name in enumerate(("id00017#a#00002", "id00017#a#00005", "id00061#b#00001", "id00812#c#00001")):
        film(place / f"{name}.mp4", seed)
    film(place / "id00812#c#00000.mp4", 9, frames=50)  # too short
    return place


@pytest.mark.parametrize("name", ["voxceleb2", "hdtf"])
def test_the_protocols_hold_what_every_table_must(name):
    protocol = load(name)
    assert set(EIGHT) <= set(protocol.metrics) and set(protocol.tasks) == {"reconstruction", "cross_identity"}
    assert protocol.judges["landmarks"] == "fan-2d" and protocol.judges["sync"] == "syncnet"
    with pytest.raises(ValueError, match=f"pass --data {protocol.dataset}=DIR"):
        benchmark.source(protocol)


def test_both_tasks_from_videos_to_the_table(folder, tmp_path):
    protocol = replace(load("voxceleb2"), size=32)
    clips = benchmark.source(protocol, f"folder={folder}")
    seen = []

    def follow(source, driving):
        seen.append((driving.clip_id, int(source[0, 0, 0])))
        return np.repeat(source[None], driving.num_frames, 0)

    candidates = [*baselines.baselines(clips, protocol.metrics), Candidate("mine", ("audio",), follow)]
    looking = benchmark.judges(protocol.judges)
    report = runner.run(protocol, clips, candidates, looking, tmp_path / "results")
    # 3 speakers; reconstruction: mine and three baselines; crossed: mine and the still frame
    assert report.failed == [] and report.computed == 3 * 4 + 3 * 2
    first = {clip_id: int(clips.clip(clip_id).frames[0, 0, 0, 0]) for clip_id in clips.clip_ids}
    used = ["id00017#a#00002", "id00061#b#00001", "id00812#c#00001"]
    assert seen[:3] == [(clip_id, first[clip_id]) for clip_id in used]
    sources = {"id00061#b#00001": "id00017#a#00002", "id00812#c#00001": "id00061#b#00001"}
    sources["id00017#a#00002"] = "id00812#c#00001"
    assert seen[3:] == [(clip_id, first[sources[clip_id]]) for clip_id in used]

    rows = read_rows(tmp_path / "results")
    table = build(protocol, rows)
    by = {(row["method"], row["task"]): row for row in table["rows"]}
    assert set(by[("oracle", "reconstruction")]["metrics"]) == PICTURES
    assert ("oracle", "cross_identity") not in by and ("mine", "cross_identity") in by
    lacking = by[("mine", "reconstruction")]["unavailable"]
    for key, weights in (("lmd", "fan-2d"), ("fid", "fid"), ("lse_c", "syncnet"), ("csim_source", "arcface")):
        assert lacking[key].endswith(f"not available: run talkbench weights fetch {weights}")
    crossed = by[("mine", "cross_identity")]["unavailable"]
    assert crossed["psnr"] == runner.NO_REAL and "weights fetch syncnet" in crossed["lse_c"]
    for row in table["rows"]:
        listed = row["provenance"]["dataset"]["clips"]
        assert listed["rule"] == "voxceleb2-test" and len(listed["list_sha256"]) == 64
        assert (listed["found"], listed["expected"]) == (3, 118)
    assert "mine, cross_identity" in markdown(table) and "run talkbench weights fetch" in markdown(table)
    # what is bold is best within its task
    assert best(table, "psnr", "reconstruction") is not None and best(table, "psnr", "cross_identity") is None
    assert all("broken" not in note for note in warnings(table))
    again = runner.run(protocol, clips, candidates, looking, tmp_path / "results")
    assert (again.computed, again.skipped) == (0, 18)


def test_crossed_clips_are_judged_by_what_needs_no_real_frames(folder, tmp_path):
    judges = {"landmarks": Landmarks(), "features": Features()}
    judges["landmarks"].name, judges["features"].name = "fan-2d", "inception-fid"
    protocol = replace(load("voxceleb2"), size=32, tasks=("cross_identity",), frames=30)
    clips = benchmark.source(protocol, f"folder={folder}")
    still = Candidate("still", (), lambda source, driving: np.repeat(source[None], driving.num_frames, 0))
    runner.run(protocol, clips, [still], judges, tmp_path / "results")
    (row,) = build(protocol, read_rows(tmp_path / "results"))["rows"]
    assert {"kid", "lip_gap_r", "d_rot"} <= set(row["metrics"]) and "lmd" not in row["metrics"]
    assert row["metrics"]["lip_gap_r"]["value"] == 0
    # the set is that of the people shown, so a still frame is near it
    assert abs(row["metrics"]["kid"]["value"]) < 1e3


def test_weights_of_another_size_say_so():
    def generate(source, clip):
        assert source.shape == (16, 16, 3) and clip.frames.shape == (2, 16, 16, 3)
        return clip.frames

    from talkbench.data.clip import Clip

    clip = Clip("a", "a", np.full((2, 64, 64, 3), 77, np.uint8), np.zeros(1280, np.float32))
    made = benchmark.at_size(generate, 16, 64)(clip.frames[0], clip)
    assert made.shape == clip.frames.shape and (made == 77).all()
