"""MakeItTalk (Zhou et al. 2020).

`paper` is the published recipe at 256 px; `tiny` learns the synthetic benchmark at 64 px on two cores.
"""

from ml_collections import ConfigDict

from talkbench.config import adam, data, run

PRESETS = ("tiny", "paper")


def get_config(preset: str) -> ConfigDict:
    config = ConfigDict(_paper(preset))
    if preset == "tiny":
        config.update(_reduced())
    return config


def _paper(preset: str) -> dict:
    branch = lambda: adam(1e-4, b1=0.9, weight_decay=1e-6)  # noqa: E731
    return {
        "name": "makeittalk",
        "preset": preset,
        "seed": 0,
        "data": data(size=256),
        "model": {
            "tracker": "pyin",  # of pitch: rapt (published, needs pysptk), pyin or autocorrelation
            "pitch_range": "F",  # F 100-600 Hz, M 50-250 Hz
            "lookahead": 17,  # of a window's 18 frames, how many lie ahead
            "converted": True,  # the landmark branches hear AutoVC's conversion; False: the sound as it is
            "standard_face": "shipped",  # that others are registered to; or a text file of 68 landmarks
            "utterances": 10,  # of a speaker, of which the landmark branches' training makes the speaker vector
            "voice_encoder_weights": "",  # the published file pretrained.pt; none: trained with the voice conversion
            "detector": "fan",  # of the source's landmarks; "synthetic": the builtin judge of the embedded benchmark
            "frames": {"voice_conversion": 128, "content": 512, "speaker": 256},  # of a sample, 62.5 a second
            "voice_encoder": {"hidden": 256, "features": 256, "layers": 3, "logarithm": False, "averaged": False},
            "voice_conversion": {"neck": 16, "freq": 16, "width": 512, "original": False},
            "content": {"prior": 256, "projected": 161, "hidden": 256, "layers": 3, "widths": (512, 256), "dropout": 0.5},
            "lip_weight": True,
            "anonymous": False,  # the speaker branch is told where the portrait's head is, but not its shape
            "speaker": {
                "hidden": 256, "layers": 3, "speaker": (256, 128, 128), "noise": 128, "width": 64, "encoder_layers": 2,
                "heads": 2, "feed_forward": 2048, "widths": (512, 256), "dropout": 0.1, "use_face": False,
                "perturbation": 0.01,
            },
            "discriminator": {
                "pooled": False, "width": 64, "layers": 2, "heads": 2, "feed_forward": 2048, "widths": (512, 256),
                "dropout": 0.1,
            },
            "translation": {"widths": (64, 128, 256, 512, 512, 512)},
            "perceptual": "vgg19",  # landmarks: the frozen trunk of a landmark network; none
            "finer": 1,  # landmarks are drawn this many times larger, then averaged
            "own_drawing": False,  # the portrait's landmarks too go into the translation network, drawn
            "jitter": 0.0,  # pixels, of those
            "bent": False,  # the portrait, bent by its triangles to the landmarks to reach, goes in too
            # Post-processing (section 11): gains, the speaker's smoothing (frames), calibration of the content's rest, blinks;
            # rigid (ours): the speaker branch turns and moves the head as a whole.
            "post": {"pose": 0.5, "lip_x": 2.0, "lip_y": 2.0, "smoothing": 31, "calibrate": True, "blink": True, "rigid": False},
        },
        "loss": {
            "voice_conversion": {"coarse": 1.0, "fine": 1.0, "codes": 1.0, "voice": 1.0},
            "content": {"position": 1.0, "motion": 0.0, "laplacian": 1.0},
            # `manner` (how much the head moves, and how fast) and `mouth` (a window around it) are ours.
            "speaker": {"position": 1.0, "laplacian": 1.0, "realism": 0.001, "manner": 0.0},
            "image_translation": {"l1": 1.0, "perceptual": 1.0, "style": 0.0, "mouth": 0.0},
        },
        "optimizer": adam(1e-4, b1=0.9),
        "train": run(steps=100_000, batch_size=8, log_every=100, sample_every=5000, checkpoint_every=5000),
        # What a stage has otherwise.
        "stages": {
            "voice_conversion": {"train": {"steps": 1_000_000, "batch_size": 2}},
            "content": {"optimizer": branch(), "train": {"batch_size": 1}},
            "speaker": {"optimizer": branch(), "train": {"batch_size": 1}},
            "image_translation": {"optimizer": adam(1e-4)},
        },
    }  # fmt: skip


def _reduced() -> dict:
    fast = lambda: adam(2e-3, b1=0.9, schedule="cosine", warmup_steps=50, clip_norm=1.0)  # noqa: E731
    return {
        "data": {"size": 64},
        "model": {
            "tracker": "autocorrelation", "pitch_range": "M", "lookahead": 9, "converted": False, "detector": "synthetic", "utterances": 4,
            "anonymous": True,
            "frames": {"voice_conversion": 128, "content": 64, "speaker": 188},
            "voice_encoder": {"hidden": 64, "features": 48, "layers": 1, "logarithm": True, "averaged": True},
            "voice_conversion": {"neck": 16, "freq": 4, "width": 64},
            "content": {"prior": 96, "projected": 48, "hidden": 96, "layers": 1, "widths": (128, 96), "dropout": 0.0},
            "speaker": {
                "hidden": 32, "layers": 1, "speaker": (512, 64), "noise": 4, "width": 32, "encoder_layers": 2,
                "feed_forward": 128, "widths": (96, 64), "dropout": 0.0, "use_face": True,
            },
            "discriminator": {"width": 32, "layers": 1, "feed_forward": 64, "widths": (64, 32), "dropout": 0.0},
            "translation": {"widths": (24, 48, 64, 64)},
            "perceptual": "landmarks", "finer": 4, "own_drawing": True, "jitter": 0.5, "bent": True,
            "post": {"pose": 1.0, "lip_x": 1.0, "lip_y": 1.2, "smoothing": 11, "calibrate": False, "blink": False, "rigid": True},
        },
        "loss": {
            "content": {"motion": 2.0},
            "speaker": {"manner": 30.0},
            "image_translation": {"l1": 10.0, "perceptual": 1.0, "mouth": 10.0},
        },
        "optimizer": fast(),
        "train": run(
            steps=1000, batch_size=8, ema_decay=0.99, log_every=50, sample_every=500, checkpoint_every=200
        ),
        "stages": {
            "voice_conversion": {"train": {"steps": 2000, "batch_size": 32}},
            "content": {"optimizer": fast(), "train": {"steps": 3000, "batch_size": 8}},
            "speaker": {"optimizer": fast(), "train": {"steps": 2000, "batch_size": 24}},
            "image_translation": {
                "optimizer": fast(), "train": {"steps": 3000, "batch_size": 12, "ema_decay": 0.995}, "data": {"in_memory": True},
            },
        },
    }  # fmt: skip
