"""A method of a few hundred weights, for the trainer's tests (tests/training/toy_method.py)."""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny",)


def get_config(preset: str) -> ConfigDict:
    return ConfigDict(
        {
            "name": "toy",
            "preset": preset,
            "seed": 0,
            "data": data(size=8),
            "model": {"width": 4, "norm": True, "noise": 0.1, "poison": 0.0, "compile_seconds": 0.0},
            "loss": {"l1": 10.0, "gan": 1.0, "teacher": 1.0},
            "optimizer": adam(1e-2, schedule="cosine", warmup_steps=2),
            "train": run(
                steps=12, batch_size=4, ema_decay=0.9, log_every=2, sample_every=6, checkpoint_every=4, keep=3
            ),
        }
    )
