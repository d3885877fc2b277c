"""The builtin judge of lips and sound `synth-sync` (talkbench/evaluators/sync_judge.py)."""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny",)


def get_config(preset: str) -> ConfigDict:
    return ConfigDict(
        {
            "name": "sync",
            "preset": preset,
            "seed": 0,
            "data": data(size=64),
            "model": {"widths": (16, 32), "code": 48, "sound_widths": (48, 64), "dense": 128, "outputs": 63},
            "loss": {"lips_to_sound": 0.5, "sound_to_lips": 0.5},
            "optimizer": adam(3e-3, b1=0.9, schedule="cosine", warmup_steps=20, clip_norm=1.0),
            "train": run(steps=400, batch_size=8, ema_decay=0.98, log_every=20, checkpoint_every=100),
        }
    )
