import numpy as np
import pytest
from toy_benchmark import SIZE, Features, Landmarks, Source, Sync

from talkbench.evaluation.candidate import Candidate
from talkbench.evaluation.protocol import Protocol


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def protocol():
    return Protocol(
        name="toy",
        version=1,
        title="Toy",
        dataset="toy",
        split="test",
        size=SIZE,
        metrics=("l1", "psnr", "ssim", "ms_ssim", "lmd", "lip_gap_r", "d_vl", "fid", "kid", "lse_c", "csim"),
        judges={"landmarks": "toy-landmarks", "features": "toy-features", "sync": "toy-sync"},
        options={"ms_ssim": {"scales": 1}, "fid": {"allow_small": True}},
        tolerances={"psnr": 0.5, "l1": 0.01},
        gallery=("p0_c1",),
    )


@pytest.fixture
def judges():
    return {"landmarks": Landmarks(), "features": Features(), "sync": Sync(), "identity": None}


@pytest.fixture
def noisy():
    """A method that gives the target with some noise; it counts its calls."""

    def generate(first, driving):
        generate.calls.append(driving.clip_id)
        noise = np.random.default_rng(0).integers(-9, 10, driving.frames.shape)
        return np.clip(driving.frames + noise, 0, 255).astype(np.uint8)

    generate.calls = []
    return Candidate("noisy", ("video", "audio"), generate, provenance={"checkpoint_hash": "a"})
