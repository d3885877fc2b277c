"""The judges as the evaluation calls them, with random weights in the publishers' file names."""

import jax
import numpy as np
import pytest

from talkbench.evaluators import lpips, published
from talkbench.weights import registry
from talkbench.weights.store import WeightsMissing

rng = np.random.default_rng(0)
KINDS = {"landmarks", "features", "sync", "lpips", "identity", "pose"}


@pytest.mark.parametrize("name", published.JUDGES)
def test_missing_weights_say_how_to_get_them(name, tmp_path):
    assert published.JUDGES[name][0] in KINDS
    with pytest.raises(WeightsMissing, match=r"not available: run talkbench weights fetch [\w-]+$"):
        published.load(name, tmp_path)


def test_unknown_judge():
    with pytest.raises(ValueError, match="no published judge 'fan': choose fan-2d"):
        published.load("fan")


def test_registry_checks_exist():
    from importlib import import_module

    for row in registry.ROWS:
        if row.check:
            module, _, function = row.check.partition(":")
            assert callable(getattr(import_module(module), function)), row.name


@pytest.fixture
def folder(tmp_path):
    trunk = {}
    for index, i, o, k in (
        (0, 3, 64, 11),
        (3, 64, 192, 5),
        (6, 192, 384, 3),
        (8, 384, 256, 3),
        (10, 256, 256, 3),
    ):
        trunk[f"features.{index}.weight"] = rng.standard_normal((o, i, k, k), np.float32) / np.float32(
            np.sqrt(i * k * k)
        )
        trunk[f"features.{index}.bias"] = rng.standard_normal(o, np.float32)
    widths = (64, 192, 384, 256, 256)
    lins = {
        f"lin{i}.model.1.weight": rng.uniform(0, 1, (1, n, 1, 1)).astype(np.float32)
        for i, n in enumerate(widths)
    }
    for name, arrays in (("alexnet", trunk), ("lpips-alex", lins)):
        with (tmp_path / registry.by_name(name).file).open("wb") as file:
            np.savez(file, **arrays)
    return tmp_path


def test_lpips_judge(folder):
    judge = published.load("lpips-alex", folder)
    assert judge.name == "lpips-alex" and len(judge.hash) == 64
    real, fake = rng.integers(0, 256, (2, 5, 48, 48, 3), np.uint8)
    found = judge.distance(real, fake, batch=2)
    variables = lpips.read_weights(*judge.paths, "alex")
    expected = jax.jit(lpips.distance, static_argnames="net")(variables, real, fake, net="alex")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.shape == (5,) and (judge.distance(real[:1], real[:1], batch=2) < 1e-12).all()
    hashes = judge.hash
    with (folder / registry.by_name("lpips-alex").file).open("ab") as file:
        file.write(b"x")
    assert published._Judge("n", ("alexnet", "lpips-alex"), folder).hash != hashes


def test_sync_judge_without_a_face():
    judge = object.__new__(published.Sync)
    judge._s3fd, judge._syncnet = {}, {}
    frames = np.zeros((40, 64, 64, 3), np.uint8)
    import talkbench.evaluators.s3fd as s3fd

    original = s3fd.detect_syncnet
    s3fd.detect_syncnet = lambda variables, frames, scale: [np.zeros((0, 5))] * len(frames)
    try:
        video, sound = judge.sync(frames, np.zeros(40 * 640, np.float32))
    finally:
        s3fd.detect_syncnet = original
    assert video.shape == sound.shape == (0, 1024)


def test_identity_judge_leaves_out_frames_without_a_face(monkeypatch):
    judge = object.__new__(published.Identity)
    judge._arcface, judge._order = {}, "bgr"
    template = published.arcface.TEMPLATE + 20

    class Points:
        def landmarks(self, frames):
            points = np.full((len(frames), 68, 2), np.nan)
            points[1] = 0
            points[1, 36:42], points[1, 42:48] = template[0], template[1]
            points[1, [30, 48, 54]] = template[2:]
            return points

    judge._landmarks = Points()
    monkeypatch.setattr(
        published.arcface, "embed", lambda v, faces, order: np.repeat(faces.mean((1, 2, 3))[:, None], 512, 1)
    )
    frames = np.full((3, 160, 160, 3), 100, np.uint8)
    rows = judge.embed(frames)
    assert np.isnan(rows[[0, 2]]).all() and rows[1, 0] == pytest.approx(100, abs=1)
