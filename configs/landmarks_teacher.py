"""The perceptual teacher of the tiny presets: a smaller landmark network than the judge's, with another seed."""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny",)


def get_config(preset: str) -> ConfigDict:
    return ConfigDict(
        {
            "name": "landmarks_teacher",
            "preset": preset,
            "seed": 1,
            "data": data(size=64, in_memory=True),
            "model": {"widths": (24, 48, 72), "mouth_widths": (16, 32, 48), "dense": 96},
            "loss": {"coarse": 1.0, "face": 1.0, "mouth": 2.0, "mouth_shape": 4.0},
            "optimizer": adam(2e-3, b1=0.9, schedule="cosine", warmup_steps=100, clip_norm=1.0),
            "train": run(steps=2500, batch_size=24, ema_decay=0.999),
        }
    )
