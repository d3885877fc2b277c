"""PC-AVS (Zhou et al. 2021).

`paper` is the published model at 224 px with the losses of its model class and the stages that its author described; no
trainer was ever published. `tiny` learns the synthetic benchmark at 64 px on two cores.
"""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny", "paper")


def get_config(preset: str) -> ConfigDict:
    paper = {
        "name": "pcavs",
        "preset": preset,
        "seed": 0,
        "data": data(size=224),
        "model": {
            "non_identity": {  # E
                "backbone": "fan", "features": 512, "mouth_dim": 0, "pose_dim": 12, "fan_features": 256,
                "dropout": 0.5, "widths": (32, 64, 96),
            },
            "identity": {  # V
                "backbone": "resnext", "num_classes": 5830, "stages": (3, 4, 6, 3), "width": 64, "groups": 32,
                "base_width": 4, "features": 2048, "widths": (32, 64, 96),
            },
            "audio": {  # A_sync
                "backbone": "seresnet", "stages": (3, 4, 6, 3), "widths": (32, 64, 128, 256), "attention": 128,
            },
            # No widths: the published ones for data.size. style_mlp: the paper's mapping network.
            "generator": {
                "widths": (), "start": 7, "style_mlp": False, "mapping_layers": 8, "constant": True, "patch": 1, "lr_mul": 1.0,
            },
            "discriminator": {"scales": 2, "features": 64, "layers": 4, "max_features": 512},
            "gan": "hinge",  # or "ls", "original", "w"
            "contrastive": "distance",  # published code; "cosine": the paper
            "feature_levels": "image",  # published code: the picture is a level too; "features": without it
            "audio_gain": 1.2,  # of the speech content, at inference
            "code_noise": 0.0,  # added to the pose code in training
            "pretrained": "fan-2d",  # E's backbone at the start; or "none"; "landmarks": for the pyramid
            # What the last stage leaves as it is: V, A_sync, G, or of E backbone, to_mouth, mouth_embed, to_headpose,
            # headpose_embed.
            "frozen": ("V", "A_sync", "to_mouth"),
        },
        "teacher": {"perceptual": "vgg19", "layer_weights": (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)},
        # Of E's pictures: colour ("gain": published code; "shuffle": paper; "none"), shape, blur. Of the pair of frames, ours:
        # flip, and jitter (brightness, contrast, saturation, hue).
        "augment": {
            "crop": True, "colour": "gain", "shape": True, "blur": True, "flip": False, "jitter": (0.0, 0.0, 0.0, 0.0),
        },
        # What is told apart: clips of `length` frames, with further negatives of other times of the same clip (the paper has
        # some), or `length` moments of one clip. And whether E's backbone learns with it.
        "sync": {"among": "clips", "length": 12, "negatives": 0, "train_backbone": False},
        # The early stages' shares of train.steps; what is left of their losses in the last stage.
        "stages": {
            "order": ("identity", "sync", "generator"), "hold": 1.0,
            "identity": {"share": 0.5, "batch_size": 64}, "sync": {"share": 0.5, "batch_size": 16},
        },
        # Without gan and feature_matching there is no discriminator.
        "loss": {
            "gan": 1.0, "feature_matching": 10.0, "perceptual": 10.0, "contrastive_audio": 100.0,
            "contrastive_video": 100.0, "cross_modal": 1.0, "identity": 1.0, "reconstruction": 0.0, "mouth": 0.0,
            "pose_code": 0.0,
        },
        "optimizer": adam(5e-4, b1=0.0, b2=0.9, schedule="constant"),
        "train": run(steps=500_000, batch_size=16, log_every=100, sample_every=5000, checkpoint_every=5000),
    }  # fmt: skip
    config = ConfigDict(paper)
    if preset == "tiny":
        config.update(_reduced())
        config.teacher.layer_weights = (1.0, 1.0, 1.0)
        config.model.generator.widths = (128, 128, 64)
        config.model.frozen = ("backbone", "to_mouth", "to_headpose", "headpose_embed")
    return config


def _reduced() -> dict:
    return {
        "data": {"size": 64, "in_memory": True},
        "model": {
            "non_identity": {
                "backbone": "pyramid", "features": 128, "mouth_dim": 32, "pose_dim": 6, "widths": (24, 48, 72),
            },
            "identity": {"backbone": "pyramid", "num_classes": 192, "features": 128, "widths": (32, 64, 128)},
            "audio": {"backbone": "pyramid", "widths": (16, 32, 48)},
            "generator": {"start": 8, "constant": False, "patch": 2, "lr_mul": 8.0},
            "discriminator": {"features": 8, "layers": 3, "max_features": 64},
            "audio_gain": 1.0,
            "code_noise": 0.05,
            "pretrained": "landmarks",
        },
        "teacher": {"perceptual": "landmarks"},
        "augment": {"crop": False, "shape": False, "blur": False, "flip": True, "jitter": (0.15, 0.15, 0.15, 0.0)},
        "sync": {"among": "moments", "length": 12, "negatives": 0, "train_backbone": True},
        "stages": {
            "hold": 0.1, "identity": {"share": 0.03, "batch_size": 16}, "sync": {"share": 0.1, "batch_size": 8},
        },
        # Labels say what the pose code says; the mouth's surroundings count more (docs/fidelity.md).
        "loss": {
            "gan": 0.0, "feature_matching": 0.0, "perceptual": 2.0, "contrastive_audio": 1.0,
            "contrastive_video": 1.0, "cross_modal": 0.1, "identity": 0.5, "reconstruction": 15.0, "mouth": 8.0,
            "pose_code": 2.0,
        },
        "optimizer": adam(1.5e-3, b1=0.9, schedule="cosine", warmup_steps=100, clip_norm=5.0),
        "train": run(
            steps=6000, batch_size=8, ema_decay=0.998, log_every=50, sample_every=500, checkpoint_every=250
        ),
    }  # fmt: skip
