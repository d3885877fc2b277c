"""Show a data set."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = commands.add_parser("show", help="write contact sheets with landmarks, and mp4s with sound")
    show.add_argument("--data", default="synthetic", metavar="SET", help="synthetic (default) or folder=DIR")
    show.add_argument(
        "--split", default="test", help="of the synthetic set: train, val, dev or test (default)"
    )
    show.add_argument("--size", type=int, default=128, help="side of the pictures in pixels (default 128)")
    show.add_argument("--clips", type=int, default=4, help="how many clips (default 4)")
    show.add_argument("--clip", action="append", metavar="ID", help="this clip (may be given again)")
    show.add_argument("--out", type=Path, default=Path("shown"), metavar="DIR", help="folder for the files")


def run(args: argparse.Namespace) -> int:
    from talkbench.data.folder import FolderSource
    from talkbench.data.media import write_image
    from talkbench.data.show import contact_sheet, write_clip_video
    from talkbench.data.sources import parse
    from talkbench.data.store import Store, is_store
    from talkbench.data.synthetic.phonemes import NAMES
    from talkbench.data.synthetic.source import SyntheticSource

    kind, folder = parse(args.data)
    if kind == "synthetic":
        source = SyntheticSource(args.split, args.size)
    else:
        source = Store(folder) if is_store(folder) else FolderSource(folder, args.size)
    failed = 0
    for clip_id in args.clip or list(source.clip_ids)[: args.clips]:
        try:
            clip = source.clip(clip_id)
        except (KeyError, ValueError) as error:
            print(f"left out {clip_id}: {error}")
            failed += 1
            continue
        sheet, video = args.out / f"{clip_id}.png", args.out / f"{clip_id}.mp4"
        write_image(sheet, contact_sheet(clip, phoneme_names=NAMES if kind == "synthetic" else None))
        write_clip_video(video, clip)
        print(f"{clip_id}: {clip.num_frames} frames, {sheet}, {video}")
    return 1 if failed else 0
