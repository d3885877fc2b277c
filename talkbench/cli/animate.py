"""Make a video: a still is animated by a driving video (or by speech, for methods driven by audio)."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", required=True, metavar="NAME")
    parser.add_argument("--source", required=True, type=Path, metavar="IMAGE", help="the face to animate")
    parser.add_argument("--driving", type=Path, metavar="VIDEO", help="what it shall do")
    parser.add_argument(
        "--audio", type=Path, metavar="SOUND", help="what it shall say (default: the driving video's sound)"
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (default: the shipped ones)")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the method"
    )
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="FILE.mp4")


def run(args: argparse.Namespace) -> int:
    from talkbench import methods
    from talkbench.config import nearest

    method = methods.load(args.method)
    options = {}
    for text in args.option:
        key, _, value = text.partition("=")
        if key not in method.options:
            raise ValueError(
                f"--option {text}: {method.name} has no option {key!r}; {nearest(key, method.options)}"
            )
        options[key] = _value(text, value, method.options[key][0])
    needs = {"video": "--driving VIDEO", "audio": "--audio SOUND"}
    if args.driving is None and (args.audio is None or "audio" not in method.driven_by):
        raise ValueError(
            f"{method.name} is driven by {' and '.join(method.driven_by)}; pass {needs[method.driven_by[0]]}"
        )

    from talkbench import config as configs
    from talkbench.data import media
    from talkbench.evaluation.benchmark import shipped
    from talkbench.methods.method import Driving
    from talkbench.training.process import set_up
    from talkbench.weights import checkpoint

    set_up()
    tree, meta = checkpoint.load(args.checkpoint or shipped(method.name), "method", method.name)
    size = meta["config"]["data"]["size"]
    source = media.read_image(args.source, size)
    video = media.read_video(args.driving, size) if args.driving else None
    audio = media.whole_frames(media.read_audio(args.audio)) if args.audio else None
    driving = Driving(
        frames=video.frames if video else None, audio=audio if audio is not None else video.audio
    )
    frames = method.generator(configs.of_weights(meta), tree)(source, driving, **options)
    sound = driving.audio[: 640 * len(frames)]
    media.write_video(args.out, frames, sound if sound.any() else None)
    print(f"{args.out}: {len(frames)} frames of {size}x{size} px, {len(frames) / 25:.1f} s")
    return 0


def _value(text: str, value: str, default):
    try:
        if isinstance(default, bool):
            return {"true": True, "1": True, "": True, "false": False, "0": False}[value.lower()]
        return value if isinstance(default, str) else float(value)
    except (KeyError, ValueError):
        raise ValueError(
            f"--option {text}: expected a {'truth value' if isinstance(default, bool) else 'number'}"
        ) from None
