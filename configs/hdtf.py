"""HDTF (Zhang, Li, Ding, Fan 2021).

`paper` is the recipe of the supplement at 512 px; `tiny` learns the synthetic benchmark at 64 px on two cores.
"""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny", "paper")


def get_config(preset: str) -> ConfigDict:
    paper = {
        "name": "hdtf",
        "preset": preset,
        "seed": 0,
        "data": data(size=512),
        "model": {
            "video": {
                "block_expansion": 64, "num_down_blocks": 2, "max_features": 512, "hourglass_expansion": 64,
                "hourglass_blocks": 5, "hourglass_max_features": 512, "num_bottleneck_blocks": 2, "align_corners": True,
                "flow_padding": "zeros", "mixed": False, "colour_order": "rgb",
            },
            "seen_only": False,  # True (ours): vertices of the driving face that look away move no pixels of F_app
            "discriminator": {"block_expansion": 32, "num_blocks": 4, "max_features": 512},
            "animation": {
                "features": 256, "extractor_blocks": 18, "style_blocks": 3, "mouth_blocks": 8, "temporal_blocks": 4,
            },
            "animation_discriminator": {"features": 256, "num_down": 6, "num_same": 2},
            "frames": 1000,  # at 100 frames/s, of a training sample of the animation stage
            # What yaw, pitch, roll (degrees) and the pivot's x, y (shares of the side) are divided by for G_ani.
            "head_scale": (10.0, 6.0, 4.0, 0.02, 0.02),
            # At inference, of the head's motion made of sound: a factor, and seconds until a turned source is back; 0: stays (ours).
            "heard_head": {"gain": 1.0, "settle": 0.0},
            "identity": "arcface",  # frozen network that embeds the reference; or "landmarks" (builtin)
            "perceptual": "vgg19",  # frozen teacher of the perceptual term; or "landmarks" (builtin), or "none"
            "detector": "fan",  # of the source's landmarks; "synthetic": the builtin judge of the embedded benchmark
        },
        # Of the video stage: see `features.Pair`. Nothing is published about augmentation.
        "augment": {"flip": True, "colour": (0.0, 0.0, 0.0, 0.0), "jitter": 0.0},
        # `reconstruction` and `mouth` are plain pixel differences, ours.
        "loss": {
            "video": {"gan": 1.0, "perceptual": 10.0, "feature_matching": 10.0, "reconstruction": 0.0, "mouth": 0.0},
            "animation": {
                "gan_mouth": 1.0, "gan_eyebrow": 1.0, "gan_head": 1.0, "mouth": 100.0, "eyebrow": 10.0, "head": 10.0,
            },
        },
        # Half of the run at the full rate, then linearly to 0.
        "optimizer": adam(4e-4, b1=0.9, schedule="hold", boundaries=(0.5,)),
        "train": run(steps=1_000_000, batch_size=2, log_every=100, sample_every=5000, checkpoint_every=5000),
        # What the stage `animation` has otherwise.
        "animation": {"optimizer": {"learning_rate": 5e-4}, "train": {"steps": 100_000, "batch_size": 128}},
    }  # fmt: skip
    config = ConfigDict(paper)
    if preset == "tiny":
        config.update(_reduced())
    return config


def _reduced() -> dict:
    return {
        "data": {"size": 64, "in_memory": True},
        "model": {
            "video": {
                "block_expansion": 16, "num_down_blocks": 1, "max_features": 40, "hourglass_expansion": 20,
                "hourglass_blocks": 4, "hourglass_max_features": 64, "flow_padding": "edge", "mixed": True,
            },
            "seen_only": True,
            "discriminator": {"block_expansion": 8, "num_blocks": 3, "max_features": 64},
            "animation": {
                "features": 48, "extractor_blocks": 6, "style_blocks": 2, "mouth_blocks": 4, "temporal_blocks": 4,
            },
            "animation_discriminator": {"features": 32, "num_down": 4},
            "frames": 256,
            "heard_head": {"gain": 0.5, "settle": 0.6},
            "identity": "landmarks",
            "perceptual": "landmarks",
            "detector": "synthetic",
        },
        "augment": {"colour": (0.1, 0.1, 0.1, 0.0), "jitter": 0.004},
        "loss": {
            "video": {"gan": 0.0, "perceptual": 2.0, "feature_matching": 0.0, "reconstruction": 15.0, "mouth": 6.0},
        },
        "optimizer": adam(2e-3, b1=0.9, schedule="cosine", warmup_steps=50, clip_norm=5.0),
        "train": run(
            steps=5000, batch_size=8, ema_decay=0.995, log_every=50, sample_every=1000, checkpoint_every=250
        ),
        "animation": {"optimizer": {"learning_rate": 2e-3}, "train": {"steps": 1200, "batch_size": 8}},
    }  # fmt: skip
