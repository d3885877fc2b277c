"""Score anyone's videos against a reference.

Clips are matched by file name without suffix, decoded at 25 frames/s and compared frame by frame; frame 0
is left out (it is the source picture, as in the protocols; --skip 0 scores it too). Landmark metrics need
NAME.landmarks.npz beside the videos on both sides.
"""

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `talkbench score`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--generated", type=Path, required=True, metavar="DIR", help="videos to score")
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="the real videos")
    parser.add_argument(
        "--metrics", metavar="A,B", help="metric keys, e.g. psnr,ssim,lmd (default: all possible)"
    )
    parser.add_argument("--size", type=int, metavar="N", help="centre square of both, resized to N pixels")
    parser.add_argument(
        "--skip", type=int, default=1, metavar="N", help="leading frames that aren't scored (1)"
    )
    parser.add_argument(
        "--allow-length-difference",
        type=int,
        default=5,
        metavar="N",
        help="frames by which lengths may differ (5)",
    )
    parser.add_argument(
        "--ms-ssim-scales", type=int, default=5, metavar="N", help="fewer for small pictures (5)"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line a clip and metric")
    parser.add_argument(
        "--row", type=Path, metavar="FILE", help="write a row for `talkbench leaderboard ... --add`"
    )
    parser.add_argument("--name", default=None, help="name of that row (default: the generated folder's)")
    parser.add_argument(
        "--driven-by", default="", metavar="A,B", help="what the method saw of the target: audio, pose, video"
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 1 where some clip couldn't be scored."""
    if args.skip < 0 or not 1 <= args.ms_ssim_scales <= 5:
        raise ValueError("--skip must be 0 or more, --ms-ssim-scales 1 to 5")
    from talkbench.data.folder import FolderSource
    from talkbench.evaluation.external import score, tally

    metrics = (
        None if args.metrics is None else [key.strip() for key in args.metrics.split(",") if key.strip()]
    )
    if metrics == []:
        raise ValueError("--metrics names no metric; leave it out for all that are possible")
    generated = FolderSource(args.generated, args.size)
    reference = FolderSource(args.reference, args.size)
    total = tally(generated, reference, metrics, scales=args.ms_ssim_scales)
    count = len(set(generated.clip_ids) & set(reference.clip_ids))
    allowed = args.allow_length_difference
    for done, record in enumerate(
        score(total, generated, reference, skip=args.skip, largest_difference=allowed), 1
    ):
        outcome = record.get("error", "scored")
        print(f"{done}/{count} {record['clip']}: {outcome}", file=sys.stderr)
    content = _content(args, total)
    if not total.clips:
        raise ValueError(f"no clip could be scored; the first: {next(iter(total.failed.values()))}")
    if args.csv:
        _write_csv(args.csv, total)
    if args.row:
        _write_row(args, total, content)
    if args.json:
        print(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print(content)
    return 1 if total.failed else 0


def _content(args, total) -> dict:
    from dataclasses import asdict

    summaries, unavailable = total.summaries()
    about = total.about()
    return {
        "generated": str(args.generated),
        "reference": str(args.reference),
        "skipped_frames": args.skip,
        "size": args.size,
        "codec": total.codec,
        "metrics": {
            key: {**about[key], **asdict(summaries[key])} for key in total.metrics if key in summaries
        },
        "unavailable": unavailable,
        "clips": total.clips,
        "failed": total.failed,
        "only_generated": total.only_generated,
        "only_reference": total.only_reference,
    }


def _print(content: dict) -> None:
    from talkbench.cli.leaderboard import print_table
    from talkbench.leaderboard.tables import heading, number

    lines = [["metric", "judge", "value", "95 % interval", "clips", "frames scored"]]
    for cell in content["metrics"].values():
        interval = f"{number(cell['low'])} .. {number(cell['high'])}"
        row = [heading(cell), cell["judge"] or "-", number(cell["value"]), interval]
        lines.append([*row, str(cell["clips"]), f"{cell['coverage']:.1%}"])
    print_table(f"{content['generated']} against {content['reference']}", lines)
    reasons: dict[str, list[str]] = {}
    for key, reason in content["unavailable"].items():
        reasons.setdefault(reason, []).append(key)
    for reason, keys in reasons.items():
        print(f"not available: {', '.join(keys)}: {reason}")
    for what, names in (("without a reference", "only_generated"), ("not generated", "only_reference")):
        if content[names]:
            print(f"{what}: {', '.join(content[names])}")
    for clip, reason in content["failed"].items():
        print(f"failed: {clip}: {reason}")


def _write_csv(path: Path, total) -> None:
    import csv
    import io

    from talkbench.evaluation.results import write_atomically

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["clip", "identity", "metric", "value", "frames_scored", "frames_due"])
    for record in total.clips:
        for key, cell in record["metrics"].items():
            row = [
                record["clip"],
                record["identity"],
                key,
                repr(cell["value"]),
                cell["scored"],
                record["due"],
            ]
            writer.writerow(row)
    write_atomically(path, out.getvalue().encode())
    print(f"wrote {path}", file=sys.stderr)


def _write_row(args, total, content: dict) -> None:
    from talkbench.evaluation.candidate import DRIVERS
    from talkbench.evaluation.results import write_json

    drivers = [name.strip() for name in args.driven_by.split(",") if name.strip()]
    strange = [name for name in drivers if name not in DRIVERS]
    if strange:
        raise ValueError(f"--driven-by {', '.join(strange)}: choose of {', '.join(DRIVERS)}")
    cell = ("value", "low", "high", "clips", "coverage")
    row = {
        "method": args.name or args.generated.resolve().name,
        "kind": "external",
        "task": "reconstruction",
        "driven_by": drivers,
        "metrics": {key: {name: c[name] for name in cell} for key, c in content["metrics"].items()},
        "unavailable": content["unavailable"],
        "provenance": {
            "generated": args.generated.name,
            "reference": args.reference.name,
            "codec": total.codec,
            "skip": args.skip,
        },
    }
    write_json(args.row, {"row": row, "metrics": total.about()})
    print(f"wrote {args.row}", file=sys.stderr)
