"""Score anyone's videos against a reference, or compare two systems.

Clips are matched by file name without suffix, brought to 25 frames/s by their time stamps and compared frame
by frame; frame 0 is left out (it is the source picture, as in the protocols; --skip 0 scores it too). What
looks through a network needs its weights (`talkbench weights list`); without them it is "not available".
Landmarks come from NAME.landmarks.npz beside the videos where the reference has such files, else from FAN.

--compare A B: two folders of `score --results` (or METHOD/TASK folders of `eval`), or two folders of videos
with --reference. Differences are B - A, by paired bootstrap over speakers.
"""

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `talkbench score`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--generated", type=Path, metavar="DIR", help="videos to score")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="the real videos")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="two systems; see above")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="keep results there; the same command again goes on"
    )
    parser.add_argument(
        "--metrics", metavar="A,B", help="metric keys, e.g. psnr,ssim,lmd (default: all possible)"
    )
    parser.add_argument(
        "--judge",
        action="append",
        default=[],
        metavar="KIND=NAME",
        help="such as landmarks=fan-2d, landmarks=file, lpips=lpips-alex (may be given again)",
    )
    parser.add_argument("--weights-dir", type=Path, metavar="DIR", help="weights of the judges")
    parser.add_argument("--allow-small", action="store_true", help="FID of fewer than 2048 frames too")
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
        "--driven-by",
        default="",
        metavar="A,B",
        help="what the method saw of the target: audio, pose, video, coefficients",
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 1 where a clip couldn't be scored, a metric that was asked for has no value, or a judge's weights
    are another network's.
    """
    if min(args.skip, args.allow_length_difference) < 0 or not 1 <= args.ms_ssim_scales <= 5:
        raise ValueError("--skip and --allow-length-difference must be 0 or more, --ms-ssim-scales 1 to 5")
    if args.size is not None and args.size < 16:
        raise ValueError(f"--size {args.size}: give at least 16 pixels")
    if args.compare:
        return _compare(args)
    if not (args.generated and args.reference):
        raise ValueError("--generated DIR and --reference DIR are needed (or --compare A B)")
    from talkbench.training.process import set_up

    set_up()
    total = _score(args, args.generated, args.results)
    content = _content(args, total)
    if not total.clips:
        raise ValueError(_none_scored(args.generated, total))
    if args.csv:
        _write_csv(args.csv, total)
    if args.row:
        _write_row(args, total, content)
    if args.json:
        print(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print(content)
    return _code(args, total, content["unavailable"])


def _code(args, total, unavailable) -> int:
    return 1 if total.failed or total.broken or (args.metrics and unavailable) else 0


def _metrics(args) -> list[str] | None:
    keys = None if args.metrics is None else [key.strip() for key in args.metrics.split(",") if key.strip()]
    if keys == []:
        raise ValueError("--metrics names no metric; leave it out for all that are possible")
    return keys


def _judges(args, metrics, reference) -> dict:
    """{kind: judge} of the kinds that the metrics need."""
    from dataclasses import replace

    from talkbench.evaluation import benchmark
    from talkbench.evaluation.external import FROM_FILES
    from talkbench.evaluation.judges import FILE, HEADLINE, parse
    from talkbench.metrics.registry import METRICS, known

    chosen = parse(args.judge)
    default = FILE if any(reference.has_landmarks(clip_id) for clip_id in reference.clip_ids) else None
    named = {**HEADLINE, "landmarks": default or HEADLINE["landmarks"], **chosen}
    if metrics is not None:
        needed = {METRICS[key].judge for key in known(metrics)}
        named = {kind: name for kind, name in named.items() if kind in needed}
    from_files = FROM_FILES if named.get("landmarks") == FILE else {}
    rest = {kind: name for kind, name in named.items() if kind not in from_files}
    judges = {**benchmark.judges(rest, args.weights_dir), **from_files}
    if default is None and "landmarks" not in chosen and hasattr(judges.get("landmarks"), "missing"):
        beside = f"{judges['landmarks'].missing}, or put NAME.landmarks.npz beside both videos"
        judges["landmarks"] = replace(judges["landmarks"], missing=beside)
    return judges


def _score(args, folder: Path, results: Path | None):
    """The tally of one folder against the reference."""
    from talkbench.cli.progress import bar
    from talkbench.data.folder import FolderSource
    from talkbench.evaluation.external import Settings, score, tally

    metrics = _metrics(args)
    generated = FolderSource(folder, args.size)
    reference = FolderSource(args.reference, args.size)
    judges = _judges(args, metrics, reference)
    total = tally(
        generated,
        reference,
        metrics,
        scales=args.ms_ssim_scales,
        judges=judges,
        allow_small=args.allow_small,
    )
    count = len(set(generated.clip_ids) & set(reference.clip_ids))
    settings = Settings(args.skip, args.allow_length_difference, args.size)
    name = args.name or folder.resolve().name
    with bar(f"score {folder.name}", quiet=args.json) as tell:
        done = 0
        for done, record in enumerate(score(total, generated, reference, settings, results, name), 1):
            tell(done, count, record["clip"])
            if "error" in record:
                print(f"failed: {record['clip']}: {record['error']}", file=sys.stderr)
    return total


def _none_scored(folder: Path, total) -> str:
    clip, reason = next(iter(total.failed.items()))
    return f"{folder}: no clip could be scored; the first, {clip}: {reason}"


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
        "left_out": total.left_out(),
        "resampled": total.resampled(),
        "reference_sync": total.reference_sync(),
        "clips": total.clips,
        "failed": total.failed,
        "only_generated": total.only_generated,
        "only_reference": total.only_reference,
    }


def _print(content: dict) -> None:
    from talkbench.cli.table import print_table
    from talkbench.leaderboard.tables import heading, number

    lines = [["metric", "judge", "value", "95 % interval", "clips", "scored"]]
    for cell in content["metrics"].values():
        interval = "-" if cell["low"] is None else f"{number(cell['low'])} .. {number(cell['high'])}"
        row = [heading(cell), cell["judge"] or "-", number(cell["value"]), interval]
        lines.append([*row, str(cell["clips"]), f"{cell['coverage']:.1%}"])
    print_table(f"{content['generated']} against {content['reference']}", lines)
    _print_reasons(content["unavailable"])
    _print_notes(content)


def _print_reasons(unavailable: dict[str, str]) -> None:
    reasons: dict[str, list[str]] = {}
    for key, reason in unavailable.items():
        reasons.setdefault(reason, []).append(key)
    for reason, keys in reasons.items():
        print(f"not available: {', '.join(keys)}: {reason}")


def _print_notes(content: dict) -> None:
    """What was left out, what was resampled, and what the real clips score."""
    for what, counts in content["left_out"].items():
        said = [f"{count} {why}" for why, count in counts.items() if count]
        print(f"left out, {what}: {'; '.join(said) or 'none'}")
    for what, names in (("without a reference", "only_generated"), ("not generated", "only_reference")):
        if content[names]:
            print(f"{what}: {', '.join(content[names])}")
    for clip, reason in content["failed"].items():
        print(f"failed: {clip}: {reason}")
    for side, rates in content["resampled"].items():
        if rates:
            some = ", ".join(f"{clip} ({rate})" for clip, rate in list(rates.items())[:3])
            print(
                f"resampled to 25 frames/s by time stamps, {side}: {len(rates)} clip(s): {some}"
                + (", ..." if len(rates) > 3 else "")
            )
    if content["reference_sync"]:
        said = ", ".join(f"{key} {value:.3f}" for key, value in content["reference_sync"].items())
        print(f"the real clips score {said}: a generated clip above them is not better")


def _write_csv(path: Path, total) -> None:
    import csv
    import io

    from talkbench.evaluation.results import write_atomically

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["clip", "identity", "metric", "value", "frames_scored", "frames_due", "reason"])
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
            writer.writerow([*row, ""])
        for key, reason in record["unavailable"].items():
            writer.writerow([record["clip"], record["identity"], key, "", 0, record["due"], reason])
    for clip, reason in total.failed.items():
        writer.writerow([clip, "", "", "", "", "", reason])
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


# ---------------------------------------------------------------------------------------------- comparing


def _compare(args) -> int:
    from talkbench.evaluation import compare
    from talkbench.metrics.registry import known
    from talkbench.training.process import set_up

    if args.generated or args.row:
        raise ValueError("--compare takes A and B in place of --generated, and writes no --row")
    wanted = _metrics(args)
    if wanted is not None:
        known(wanted)
    ready = [compare.is_results(folder) for folder in args.compare]
    if not all(ready) and not args.reference:
        folder = args.compare[ready.index(False)]
        raise ValueError(
            f"{folder} holds no results of `score --results`; with videos, --reference DIR is needed"
        )
    if any(ready) and not all(ready):
        raise ValueError("--compare takes two results folders or two folders of videos, not one of each")
    code, sides = 0, []
    for label, folder in zip("ab", args.compare):
        if ready[0]:
            sides.append(compare.read(folder))
            continue
        set_up()
        total = _score(args, folder, args.results / label if args.results else None)
        if not total.clips:
            raise ValueError(_none_scored(folder, total))
        code = max(code, 1 if total.failed or total.broken else 0)
        sides.append(compare.of_tally(total, str(folder)))
    found, left_out = compare.compare(*sides, wanted)
    if wanted and left_out:
        code = 1
    content = _comparison(args, sides, found, left_out)
    if args.csv:
        _write_compared(args.csv, *sides, found)
    if args.json:
        print(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print_comparison(content)
    return code


def _comparison(args, sides, found, left_out) -> dict:
    from dataclasses import asdict

    from talkbench.metrics.registry import METRICS

    a, b = sides
    return {
        "a": {"folder": str(args.compare[0]), "name": a.name, "clips": len(a.clips)},
        "b": {"folder": str(args.compare[1]), "name": b.name, "clips": len(b.clips)},
        "metrics": {
            c.key: {
                "name": METRICS[c.key].name,
                "unit": METRICS[c.key].unit,
                "direction": METRICS[c.key].better,
                "version": a.versions[c.key],
                **{name: value for name, value in asdict(c).items() if name != "key"},
            }
            for c in found
        },
        "unavailable": left_out,
        "only_a": sorted(set(a.clips) - set(b.clips)),
        "only_b": sorted(set(b.clips) - set(a.clips)),
    }


def _print_comparison(content: dict) -> None:
    from talkbench.cli.table import print_table
    from talkbench.leaderboard.tables import ARROWS, number

    lines = [["metric", "A", "B", "B - A", "95 % interval", "p", "better"]]
    for cell in content["metrics"].values():
        lines.append(
            [
                f"{cell['name']} {ARROWS[cell['direction']]}",
                number(cell["a"]),
                number(cell["b"]),
                number(cell["difference"]),
                "-" if cell["low"] is None else f"{number(cell['low'])} .. {number(cell['high'])}",
                "-" if cell["p"] is None else "<0.002" if cell["p"] == 0 else f"{cell['p']:.3f}",
                cell["better"].upper(),
            ]
        )
    for side in "ab":
        print(f"{side.upper()} = {content[side]['name']} ({content[side]['clips']} clips)")
    print_table("paired bootstrap over the clips of both", lines)
    _print_reasons(content["unavailable"])
    for side in "ab":
        if content[f"only_{side}"]:
            print(f"only in {side.upper()}: {', '.join(content[f'only_{side}'])}")
    print(f"p is two-sided and not corrected for {len(content['metrics'])} metrics")


def _write_compared(path: Path, a, b, found) -> None:
    import csv
    import io

    from talkbench.evaluation.results import write_atomically

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["clip", "identity", "metric", "a", "b", "difference"])
    for clip_id, one in a.clips.items():
        for key in (c.key for c in found if clip_id in b.clips):
            cells = [side["metrics"].get(key) for side in (one, b.clips[clip_id])]
            if None not in cells:
                first, second = (cell["value"] for cell in cells)
                writer.writerow(
                    [clip_id, one["identity"], key, repr(first), repr(second), repr(second - first)]
                )
    write_atomically(path, out.getvalue().encode())
    print(f"wrote {path}", file=sys.stderr)
