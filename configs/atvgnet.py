"""ATVGnet (Chen, Maddox, Duan, Xu 2019).

`paper` is the published recipe at 128 px; `tiny` learns the synthetic benchmark at 64 px on two cores.
"""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny", "paper")


def get_config(preset: str) -> ConfigDict:
    paper = {
        "name": "atvgnet",
        "preset": preset,
        "seed": 0,
        "data": data(size=256),
        "model": {
            "crop": 128,  # side of the aligned face crop that VG-net draws
            "codes": 6,
            "frames": {"atnet": 16, "vgnet": 16},  # in a row, of a training sample
            # A file of `talkbench basis`, or an .npz with the published arrays; "shipped": of the synthetic benchmark.
            "basis": "shipped",
            "normalisation": "clip",  # of landmarks: published (needs the array S), clip or plain
            "projected": False,  # train VG-net on landmarks that went through the codes, as it gets them at inference
            # AT-net's targets are landmarks turned back to the example's head pose, which sound cannot tell (ours; uses depth).
            "still": False,
            "boost": "demo",  # of the codes at inference: none, demo or test
            "gain": 1.0,  # at inference, of the codes' distance from the example's; ours
            "detector": "fan",  # of the source's landmarks; "synthetic": the builtin judge of the embedded benchmark
            "beta": 0.5,
            "mouth_weight": 100.0,
            # per_step: BatchNorm statistics of one frame at a time, as published; else of all frames of the batch.
            # init_scheme: published, N(0, 0.02); or default, PyTorch's.
            "atnet": {
                "widths": (64, 128, 256, 256, 512), "dense": (2048, 256), "landmark_dense": (256, 512), "hidden": 256,
                "layers": 3, "residual": False, "per_step": False, "init_scheme": "published",
            },
            "vgnet": {
                "width": 64, "halvings": 2, "blocks": 9, "dropout": 0.5, "hidden": 0, "gru_axis": "time", "per_step": False,
                "init_scheme": "published",
            },
            "discriminator": {
                "widths": (64, 128, 256, 512), "dense": 512, "landmark_dense": (256, 512), "hidden": 256, "layers": 3,
                "per_step": False,
            },
        },
        # `mouth`: plain L1 in a window around the mouth, ours. Without gan and landmark there is no discriminator.
        "loss": {"codes": 1.0, "pixel": 10.0, "gan": 1.0, "landmark": 1.0, "mouth": 0.0},
        "optimizer": adam(2e-4),
        "train": run(steps=100_000, batch_size=16, log_every=100, sample_every=5000, checkpoint_every=5000),
        # What a stage has otherwise.
        "stages": {"atnet": {}, "vgnet": {}},
    }  # fmt: skip
    config = ConfigDict(paper)
    if preset == "tiny":
        config.update(_reduced())
    return config


def _reduced() -> dict:
    return {
        "data": {"size": 64, "in_memory": True},
        "model": {
            "crop": 64, "codes": 32, "frames": {"vgnet": 6}, "normalisation": "plain", "projected": True, "still": True, "boost": "none", "gain": 1.4,
            "detector": "synthetic",
            "atnet": {
                "widths": (16, 24, 32, 32, 48), "dense": (128, 96), "landmark_dense": (48, 48), "hidden": 96, "layers": 1,
                "residual": True, "init_scheme": "default",
            },
            "vgnet": {"width": 16, "halvings": 1, "blocks": 2, "hidden": 64, "dropout": 0.0, "init_scheme": "default"},
            "discriminator": {
                "widths": (8, 16, 32, 64), "dense": 64, "landmark_dense": (64, 64), "hidden": 64, "layers": 1,
            },
        },
        "loss": {"gan": 0.0, "landmark": 0.0, "mouth": 20.0},
        "optimizer": adam(2e-3, b1=0.9, schedule="cosine", warmup_steps=50, clip_norm=5.0),
        "train": run(
            steps=3000, batch_size=8, ema_decay=0.998, log_every=50, sample_every=500, checkpoint_every=250
        ),
        "stages": {"vgnet": {"train": {"steps": 6000}}},
    }  # fmt: skip
