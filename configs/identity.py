"""The builtin judges of identity `synth-identity` and of sets of pictures `synth-features`, one network
(talkbench/evaluators/identity.py).
"""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny",)


def get_config(preset: str) -> ConfigDict:
    return ConfigDict(
        {
            "name": "identity",
            "preset": preset,
            "seed": 0,
            "data": data(size=64),
            "model": {"widths": (16, 32, 64), "outputs": 64, "speakers": 192, "scale": 16.0, "margin": 0.2},
            "loss": {"speaker": 1.0},
            "optimizer": adam(3e-3, b1=0.9, schedule="cosine", warmup_steps=20, clip_norm=5.0),
            "train": run(steps=300, batch_size=32, ema_decay=0.98, log_every=20, checkpoint_every=100),
        }
    )
