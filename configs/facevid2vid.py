"""face-vid2vid (Wang, Mallya, Liu 2021).

`paper` is the published recipe as its widely used reimplementation has it (vox-256, SPADE); `tiny` learns
the synthetic benchmark at 64 px on two cores; `small` is `tiny` at 128 px, for a first run on real clips.
"""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny", "small", "paper")

# Landmarks that the first keypoints of `tiny` are told to sit on: chin, jaw, brows, nose, eyes, mouth.
LANDMARKS = (8, 4, 12, 19, 24, 30, 36, 45, 48, 54, 51, 57, 62, 66)


def get_config(preset: str) -> ConfigDict:
    paper = {
        "name": "facevid2vid",
        "preset": preset,
        "seed": 0,
        "data": data(size=256, by_identity=True),
        "model": {
            "num_keypoints": 15,
            "keypoint_detector": {
                "block_expansion": 32, "max_features": 1024, "num_blocks": 5, "depth": 16, "scale_factor": 0.25,
                "kp_window": 3, "temperature": 0.1,
            },
            "estimator": {
                "widths": (64, 256, 512, 1024, 2048), "blocks": (3, 3, 5, 2), "dense": 0,
            },
            "generator": {
                "decoder": "spade", "block_expansion": 64, "max_features": 512, "num_down_blocks": 2,
                "volume_channels": 32, "depth": 16, "volume_resblocks": 6, "num_resblocks": 6, "motion_scale": 1, "motion_expansion": 32,
                "motion_max_features": 1024, "motion_blocks": 5, "compress_channels": 4, "mask_window": 7,
                "mask_threshold": 0.0, "entry_channels": 0, "spade_widths": (512, 256, 64), "spade_middle": 6, "spade_hidden": 128, "patch": 1,
            },
            "discriminator": {"scales": (1.0,), "block_expansion": 32, "num_blocks": 4, "max_features": 512},
            "rotation": "published",  # "beta": the rule that the vox-256-beta weights were trained with
            "pi": 3.14,
            "local_rotation": False,  # True: the paper's J = R_s R_d^-1 in every keypoint's flow
            "gan": "hinge",  # or "ls"
        },
        # Frozen teachers: of the perceptual term ("vgg19", "landmarks" or "none"), of head pose ("hopenet", "labels"
        # or "none").
        "teacher": {
            "perceptual": "vgg19", "layer_weights": (1.0, 1.0, 1.0, 1.0, 1.0), "scales": (1.0, 0.5, 0.25, 0.125),
            "headpose": "hopenet", "landmarks": (),
        },
        "augment": {"flip": True, "time_flip": True, "colour": (0.1, 0.1, 0.1, 0.1)},
        "loss": {
            "perceptual": 10.0, "gan": 1.0, "feature_matching": 10.0, "equivariance": 10.0, "keypoint": 10.0,
            "headpose": 20.0, "expression": 5.0, "reconstruction": 0.0, "mouth": 0.0, "landmarks": 0.0,
        },
        "optimizer": adam(2e-4, schedule="steps", boundaries=(0.6,)),
        "train": run(steps=1_000_000, batch_size=32, log_every=100, sample_every=5000, checkpoint_every=5000),
    }  # fmt: skip
    config = ConfigDict(paper)
    if preset == "paper":
        return config
    config.update(_reduced())
    config.teacher.update({"perceptual": "landmarks", "layer_weights": (1.0, 1.0, 1.0), "scales": (1.0,)})
    config.teacher.update({"headpose": "labels", "landmarks": LANDMARKS})
    # The published jitter of the hue by a tenth of the circle makes faces green; small models have no room for that.
    config.augment.colour = (0.1, 0.1, 0.1, 0.0)
    # A landmark network's features stand in for VGG-19, labels for Hopenet; landmarks hold the keypoints (docs/fidelity.md).
    config.loss.update(
        {
            "perceptual": 2.0, "gan": 0.1, "feature_matching": 0.5, "equivariance": 1.0, "keypoint": 0.02,
            "headpose": 0.05, "expression": 0.005, "reconstruction": 15.0, "mouth": 6.0, "landmarks": 10.0,
        }
    )  # fmt: skip
    if preset == "small":
        config.update(_small())
    return config


def _small() -> dict:
    """What `small` has otherwise than `tiny`: 128 px, for real clips."""
    return {
        "data": {"size": 128},
        "model": {
            "keypoint_detector": {"num_blocks": 3},
            "estimator": {"widths": (24, 48, 64, 96)},
            "generator": {"block_expansion": 24, "num_down_blocks": 1},
            "discriminator": {"num_blocks": 4},
        },
        "teacher": {"scales": (0.5,)},
        "train": run(
            steps=400, batch_size=8, ema_decay=0.99, log_every=20, sample_every=200, checkpoint_every=200
        ),
    }


def _reduced() -> dict:
    return {
        "data": {"size": 64, "in_memory": True, "by_identity": False},
        "model": {
            "num_keypoints": 18,
            "keypoint_detector": {
                "block_expansion": 16, "max_features": 64, "num_blocks": 2, "depth": 4,
            },
            "estimator": {"widths": (32, 64, 96), "blocks": (), "dense": 192},
            "generator": {
                "decoder": "plain", "block_expansion": 48, "max_features": 48, "num_down_blocks": 0,
                "volume_channels": 12, "depth": 4, "volume_resblocks": 1, "num_resblocks": 2, "motion_scale": 2,
                "motion_expansion": 12, "motion_max_features": 48, "motion_blocks": 3, "compress_channels": 2,
                "mask_window": 3, "entry_channels": 12, "patch": 2,
            },
            "discriminator": {"block_expansion": 8, "num_blocks": 3, "max_features": 64},
        },
        "optimizer": adam(1.5e-3, b1=0.9, schedule="cosine", warmup_steps=200, clip_norm=5.0),
        "train": run(
            steps=6000, batch_size=8, ema_decay=0.999, log_every=50, sample_every=500, checkpoint_every=500
        ),
    }  # fmt: skip
