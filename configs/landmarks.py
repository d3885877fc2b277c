"""The builtin landmark judge `synth-landmarks` (talkbench/evaluators/landmarks.py)."""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny",)


def get_config(preset: str) -> ConfigDict:
    return ConfigDict(
        {
            "name": "landmarks",
            "preset": preset,
            "seed": 0,
            "data": data(size=64, in_memory=True),
            "model": {"widths": (32, 64, 96), "mouth_widths": (32, 64, 96), "dense": 192},
            "loss": {"coarse": 1.0, "face": 1.0, "mouth": 2.0, "mouth_shape": 4.0},
            "optimizer": adam(2e-3, b1=0.9, schedule="cosine", warmup_steps=100, clip_norm=1.0),
            "train": run(steps=2_800, batch_size=24, ema_decay=0.999),
        }
    )
