"""Cases of the golden files that take no network, as `talkbench verify` computes them: `make golden` does all.

The files carry tables under a non-commercial licence, so they are no part of this checkout.
"""

from pathlib import Path

import pytest

from talkbench.methods.makeittalk.golden import CASES
from talkbench.weights.golden import read, verify

HERE = Path(__file__).resolve()
QUICK = {
    "landmarks": (
        "laplacian",
        "register",
        "mouth_area",
        "post_combine",
        "post_calibrate",
        "post_inverse_lip",
        "post_pipeline",
        "norm_input_face",
        "close_input_mouth",
        "blink",
        "to_image_space",
        "raster68",
        "raster98",
        "raster74",
        "puppet_norm",
        "puppet_triangles",
        "puppet_bound",
        "metrics",
        "interpolate_fps",
    ),
    "audio": ("loudness", "stages", "dither", "f0_normalise", "windows"),
    "nets": ("resemblyzer_mel", "resemblyzer_slices", "resemblyzer_volume", "positional_table"),
}


def golden(name):
    for parent in HERE.parents[3:]:
        path = parent / "shared" / "golden" / f"makeittalk_{name}.npz"
        if path.exists():
            return path
    return None


@pytest.mark.parametrize("name", QUICK)
def test_quick_cases(name):
    path = golden(name)
    if path is None:
        pytest.skip(f"shared/golden/makeittalk_{name}.npz is not beside this checkout")
    for row in verify(read(path), CASES, QUICK[name]):
        assert row.ok, row


def test_every_case_of_the_files_has_a_function():
    missing = {}
    for name in ("nets", "audio", "landmarks", "image"):
        path = golden(name)
        if path is None:
            pytest.skip(f"shared/golden/makeittalk_{name}.npz is not beside this checkout")
        missing[name] = read(path).cases.keys() - CASES.keys()
    assert not any(missing.values())
