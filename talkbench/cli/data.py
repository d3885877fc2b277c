"""Prepare, check and show data sets."""

import argparse
import os
from functools import partial
from pathlib import Path

# what `--landmarks` names: back ends that worker processes make for themselves
BACKENDS = {
    "mediapipe": ("talkbench.data.prepare.mesh:Mesh",),
    "fan": ("talkbench.evaluators.published:load", "fan-2d-subpixel"),
}
SYNC = ("syncnet", "syncnet-whole", "synth-sync")
# the weights that these take
WEIGHTS = {"fan": ("fan-2d", "s3fd"), "syncnet": ("syncnet", "s3fd-sync"), "syncnet-whole": ("syncnet",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_prepare(commands.add_parser("prepare", help="turn raw video files into records; rerun to go on"))
    verify = commands.add_parser("verify", help="prove that a prepared folder has lost nothing")
    verify.add_argument("out", type=Path, metavar="OUT", help="folder that `data prepare` wrote")
    verify.add_argument("--quick", action="store_true", help="decode the pictures of every 100th clip only")
    report = commands.add_parser("report", help="write an HTML page: counts, histograms, pictures")
    report.add_argument("out", type=Path, metavar="OUT", help="folder that `data prepare` wrote")
    report.add_argument(
        "--source", type=Path, metavar="DIR", help="its raw files, for pictures of what was refused"
    )
    show = commands.add_parser("show", help="write contact sheets with landmarks, and mp4s with sound")
    show.add_argument(
        "--data", default="synthetic", metavar="SET", help="synthetic (default), folder=DIR or prepared=DIR"
    )
    show.add_argument(
        "--split", default="test", help="of the synthetic set: train, val, dev or test (default)"
    )
    show.add_argument("--size", type=int, default=128, help="side of the pictures in pixels (default 128)")
    show.add_argument("--clips", type=int, default=4, help="how many clips (default 4)")
    show.add_argument("--clip", action="append", metavar="ID", help="this clip (may be given again)")
    show.add_argument("--out", type=Path, default=Path("shown"), metavar="DIR", help="folder for the files")


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    from talkbench.data.prepare import DATASETS

    add = parser.add_argument
    add("--dataset", required=True, choices=DATASETS, help="layout of the source folder")
    add("--source", type=Path, required=True, metavar="DIR", help="folder of the files you brought")
    add(
        "--out", type=Path, required=True, metavar="DIR", help="folder for records, lists and unfinished work"
    )
    add("--size", type=int, default=256, help="side of the pictures in pixels (default 256)")
    add("--workers", type=int, default=os.cpu_count(), metavar="N", help="processes (default: one a core)")
    add(
        "--shard",
        metavar="I/N",
        help="work on part I of N (from 0) only; a last run without it writes the records",
    )
    add(
        "--ray",
        metavar="ADDRESS",
        help="work on a Ray cluster, --workers in all: HOST:PORT, auto, or local; takes pip install 'talkbench[ray]'",
    )
    add(
        "--landmarks",
        default="auto",
        choices=("auto", "files", "cascade", *BACKENDS),
        help="auto (default): NAME.landmarks.npz beside the video, else face boxes only; files: refuse videos without "
        "one; cascade: face boxes only; mediapipe: its face mesh (--mediapipe-python); "
        "fan: FAN, with the weights that `talkbench weights` brings",
    )
    add("--mediapipe-python", metavar="FILE", help="interpreter of an environment with mediapipe==0.10.21")
    add(
        "--sync",
        default="none",
        choices=("none", *SYNC),
        help="judge of sound against lips, kept with each clip: none (default); syncnet, on the face that it finds, or "
        "syncnet-whole, for pictures that are face crops, with the weights that `talkbench weights` brings; synth-sync: "
        "the builtin one, for synthetic heads only",
    )
    add(
        "--most-offset", type=int, metavar="N", help="refuse clips that --sync finds more than N frames apart"
    )
    add(
        "--crop",
        default="auto",
        help="auto (default), union (square around the face) or whole (centre square)",
    )
    add(
        "--increase",
        type=float,
        default=0.1,
        help="of the union square on each side, as a share (default 0.1)",
    )
    add("--min-frames", type=int, default=64, help="shortest clip, at 25 frames/s (default 64)")
    add(
        "--least-faces",
        type=float,
        metavar="SHARE",
        help="share of frames in which a face must be found (default 0.95; 0.5 where the frontal cascade looks)",
    )
    add("--allow-silent", action="store_true", help="keep clips without sound, for methods that need none")
    add("--codec", default="jpeg", help="of the pictures: jpeg (default) or png (exact, for evaluation)")
    add("--quality", type=int, default=95, help="of JPEG (default 95)")
    add("--keep-work", action="store_true", help="keep finished units, so that more files can be added later")


def run(args: argparse.Namespace) -> int:
    return {"prepare": _prepare, "verify": _verify, "report": _report, "show": _show}[args.action](args)


def _prepare(args: argparse.Namespace) -> int:
    from talkbench.cli.progress import bar
    from talkbench.data.prepare import cluster, pool
    from talkbench.data.prepare.run import prepare
    from talkbench.data.prepare.settings import Settings, SettingsError
    from talkbench.data.prepare.trees import read

    if args.workers < 1:
        raise SettingsError(f"--workers {args.workers}: give at least 1")
    backend = BACKENDS.get(args.landmarks, ())
    if args.landmarks == "mediapipe":
        if not args.mediapipe_python:
            raise SettingsError(
                "--landmarks mediapipe: give --mediapipe-python, the interpreter of an environment of its own with "
                "mediapipe==0.10.21 (it cannot share this one)"
            )
        backend += (args.mediapipe_python,)
    for flag, name in (("landmarks", args.landmarks), ("sync", args.sync)):
        _check_weights(flag, name)
    sync_backend = () if args.sync == "none" else ("talkbench.evaluators.offset:load", args.sync)
    least = (
        {}
        if args.least_faces is None
        else dict.fromkeys(("least_faces", "least_cascade_faces"), args.least_faces)
    )
    settings = Settings(
        **least,
        size=args.size, codec=args.codec, quality=args.quality, crop=args.crop, increase=args.increase,
        landmarks=args.landmarks, backend=backend, min_frames=args.min_frames, sync=args.sync,
        sync_backend=sync_backend, most_offset=args.most_offset,
        allow_silent=args.allow_silent,
    )  # fmt: skip
    if args.ray and args.shard:
        raise SettingsError("--ray and --shard are two ways to share the work: give one")
    run_units = partial(cluster.run, address=args.ray) if args.ray else pool.run
    listing = read(args.dataset, args.source)
    with bar("files") as tell:
        summary = prepare(
            listing, settings, args.out, args.dataset, workers=args.workers, shard=_shard(args.shard),
            keep_work=args.keep_work, progress=tell, run_units=run_units,
        )  # fmt: skip
    for note in listing.notes:
        print(f"note: {note}")
    _print(summary, args)
    return 0 if summary.packed or args.shard else 1


def _check_weights(flag: str, name: str) -> None:
    """WeightsMissing before any worker begins."""
    from talkbench.weights import store

    for weight in WEIGHTS.get(name, ()):
        try:
            store.path_of(weight)
        except store.WeightsMissing as error:
            raise store.WeightsMissing(f"--{flag} {name}: {error}") from None


def _shard(text: str | None) -> tuple[int, int] | None:
    from talkbench.data.prepare.settings import SettingsError

    if text is None:
        return None
    part, _, count = text.partition("/")
    if not (part.isdigit() and count.isdigit() and int(part) < int(count)):
        raise SettingsError(f"--shard {text}: give I/N, such as 0/8 to 7/8")
    return int(part), int(count)


def _print(summary, args: argparse.Namespace) -> None:
    from talkbench.data.clip import FPS

    print(f"{summary.sources} files: {summary.accepted} accepted, {summary.quarantined} quarantined")
    for reason, count in sorted(summary.reasons.items()):
        print(f"  quarantined: {reason:<20} {count}")
    for reason, count in sorted(summary.dropped.items()):
        print(f"  parts dropped: {reason:<18} {count}")
    if summary.missing:
        print(f"{summary.missing} listed names have no file: {args.out / 'missing.txt'}")
    print(f"{summary.clips} clips, {summary.frames} frames, {summary.frames / FPS / 3600:.3f} h")
    for name, frames in (("survey", summary.surveyed), ("cut", summary.cut)):
        if summary.seconds[name] > 0:
            print(f"{name}: {frames / summary.seconds[name]:.0f} frames/s in each of {args.workers} workers")
    if args.shard:
        print("this part is done; when all are, run the same command without --shard to write the records")
    elif summary.packed:
        print(f"records: {args.out / 'records'}; check them with `talkbench data verify {args.out}`")
    else:
        print(f"nothing could be kept; {args.out / 'quarantine.jsonl'} says why")


def _verify(args: argparse.Namespace) -> int:
    from talkbench.cli.progress import bar
    from talkbench.data.prepare.verification import verify

    faults = checks = 0
    with bar("clips") as tell:
        for what, found in verify(args.out, args.quick, tell):
            checks += 1
            faults += len(found)
            print(f"{'FAULT' if found else 'ok   '} {what}")
            for fault in found:
                print(f"      {fault}")
    print(f"{faults} faults in {checks} checks" if faults else f"all {checks} checks passed")
    return 1 if faults else 0


def _report(args: argparse.Namespace) -> int:
    from talkbench.cli.progress import bar
    from talkbench.data.prepare.report import write_report

    with bar("clips") as tell:
        print(f"report: {write_report(args.out, args.source, tell)}")
    return 0


def _show(args: argparse.Namespace) -> int:
    from talkbench.data.folder import FolderSource
    from talkbench.data.media import write_image
    from talkbench.data.show import contact_sheet, write_clip_video
    from talkbench.data.sources import parse, stored
    from talkbench.data.synthetic.phonemes import NAMES
    from talkbench.data.synthetic.source import SyntheticSource

    if args.clips < 1:
        raise ValueError(f"--clips {args.clips}: give at least 1")
    kind, folder = parse(args.data)
    if kind == "synthetic":
        source = SyntheticSource(args.split, args.size)
    else:
        source = stored(folder) or FolderSource(folder, args.size)
    failed = 0
    for clip_id in args.clip or list(source.clip_ids)[: args.clips]:
        try:
            clip = source.clip(clip_id)
        except (KeyError, ValueError) as error:
            print(f"left out {clip_id}: {error}")
            failed += 1
            continue
        name = clip_id.replace("/", "#")
        sheet, video = args.out / f"{name}.png", args.out / f"{name}.mp4"
        write_image(sheet, contact_sheet(clip, phoneme_names=NAMES if kind == "synthetic" else None))
        write_clip_video(video, clip)
        print(f"{clip_id}: {clip.num_frames} frames, {sheet}, {video}")
    return 1 if failed else 0
