from dataclasses import replace

import numpy as np
import pytest
from test_external import Folder, with_landmarks
from toy_benchmark import Features, make_clip

from talkbench.evaluation import compare
from talkbench.evaluation.compare import CompareError, Scores
from talkbench.evaluation.external import Settings, score, tally


def system(name, values, key="psnr", speakers=None, version="1"):
    clips = {
        f"c{i}": {
            "identity": speakers[i] if speakers else f"c{i}",
            "metrics": {key: {"value": v, "scored": 9}},
        }
        for i, v in enumerate(values)
    }
    return Scores(name, clips, {key: version}, dict.fromkeys(clips, "same"))


rng = np.random.default_rng(0)
BASE = rng.normal(25, 3, 40)


def test_a_steady_gain_is_found_though_clips_differ_more():
    found, left_out = compare.compare(system("a", BASE), system("b", BASE + rng.normal(0.3, 0.2, 40)))
    (cell,) = found
    assert left_out == {} and cell.clips == 40 and cell.better == "b" and cell.p < 0.01
    assert cell.low < cell.difference < cell.high and cell.difference == pytest.approx(cell.b - cell.a)
    assert cell.high - cell.low < 0.3  # unpaired, the interval would be about 2.6 wide
    (cell,), _ = compare.compare(system("a", BASE, "l1"), system("b", BASE + 1, "l1"))
    assert cell.better == "a"  # lower is better


def test_a_system_against_itself():
    (cell,), _ = compare.compare(system("a", BASE), system("b", BASE))
    assert (cell.difference, cell.low, cell.high, cell.p, cell.better) == (0, 0, 0, 1, "")


def test_speakers_are_resampled_whole():
    gain = np.repeat(rng.normal(0.3, 0.6, 8), 5)  # five clips of each speaker gain alike
    few, many = (
        compare.compare(system("a", BASE, speakers=who), system("b", BASE + gain, speakers=who))[0][0]
        for who in ([f"s{i // 5}" for i in range(40)], None)
    )
    assert few.high - few.low > 1.5 * (many.high - many.low)


def test_one_clip_has_no_interval():
    (cell,), _ = compare.compare(system("a", [1.0]), system("b", [2.0]))
    assert (cell.difference, cell.low, cell.p, cell.better) == (1, None, None, "")


def test_what_cannot_be_compared_is_said():
    a = system("a", BASE)
    assert "two definitions" in compare.compare(a, system("b", BASE, version="2"))[1]["psnr"]
    assert compare.compare(a, system("b", BASE, "ssim"), ["ssim"])[1] == {"ssim": "a: not measured"}
    other = system("b", BASE)
    other.real["c3"] = "another"
    with pytest.raises(CompareError, match=r"different real clips \(c3"):
        compare.compare(a, other)
    strange = Scores("b", {"x": {}}, {}, {"x": ""})
    with pytest.raises(CompareError, match="no clip was scored in both"):
        compare.compare(a, strange)


def test_folders_and_runs_give_the_same(tmp_path):
    real = [with_landmarks(make_clip(name, name, seed)) for seed, name in enumerate("abcd")]
    judges = {"features": Features()}
    keys = ["psnr", "kid", "fid"]
    sides = []
    for side, level in (("a", 3), ("b", 9)):
        noise = np.random.default_rng(0)
        made = Folder([_noisy(clip, level, noise) for clip in real])
        total = tally(made, Folder(real), keys, judges=judges)
        list(score(total, made, Folder(real), Settings(), tmp_path / side, side))
        sides.append((compare.of_tally(total, side), compare.read(tmp_path / side)))
    ran, kept = (compare.compare(*pair) for pair in zip(*sides))
    assert ran == kept
    found = {cell.key: cell for cell in ran[0]}
    assert found["psnr"].better == "a" and found["kid"].low is not None
    assert "FID needs 2048" in ran[1]["fid"]
    with pytest.raises(CompareError, match="no row.json"):
        compare.read(tmp_path)


def _noisy(clip, level, rng):

    noise = rng.integers(-level, level + 1, clip.frames.shape)
    return replace(clip, frames=np.clip(clip.frames + noise, 0, 255).astype(np.uint8))
