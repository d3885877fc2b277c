"""Figures as tables of at most 80 columns."""

from collections.abc import Sequence

Table = tuple[str, list[list[str]]]


def scaled(value: float | None, units: Sequence[str] = " kMGT", step: int = 1000) -> str:
    """A count in three digits, such as 1.31M; "-" for none."""
    if value is None:
        return "-"
    value, power = float(value), 0
    while abs(value) >= step and power < len(units) - 1:
        value, power = value / step, power + 1
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{units[power].strip()}"


def memory(size: float | None) -> str:
    """Bytes, such as 1.2GiB."""
    return "-" if size is None else scaled(size, [" B", "KiB", "MiB", "GiB", "TiB"], 1024)


def seconds(value: float | None) -> str:
    """A time, such as 86ms."""
    if value is None:
        return "-"
    return f"{value * 1e3:.3g}ms" if value < 1 else f"{value:.3g}s" if value < 1000 else f"{value:.0f}s"


def rate(per_call: float, figures: dict) -> str:
    """`per_call` things a second in the median call."""
    return scaled(per_call / figures["seconds"])


def spread(figures: dict) -> str:
    """Slowest call over fastest: what of the figure is the machine's other work."""
    return f"x{figures['slowest'] / figures['fastest']:.2f}"


def _subject(row: dict) -> str:
    kind = (row.get("dtype") or "").replace("bfloat16", "bf16")
    return " ".join(filter(None, (row["method"], row["preset"], kind)))


def _under(rows: list[tuple[str, list[str]]]) -> list[list[str]]:
    """Lines whose first cell is a stage, indented below a line for each subject."""
    lines, last = [], None
    for name, cells in rows:
        if name != last:
            lines.append([name, *[""] * (len(cells) - 1)])
        lines.append([f"  {cells[0]}", *cells[1:]])
        last = name
    return lines


def tables(figures: list[dict]) -> list[Table]:
    """(title, [heading, *lines]) for each kind of measurement that has figures."""
    good = [row for row in figures if "error" not in row]
    of = lambda what: [row for row in good if row["what"] == what]  # noqa: E731
    speed = {row.get("dtype"): row["multiply_adds"] / row["seconds"] for row in of("machine")}
    made = [
        (
            "machine: products of square matrices",
            [["device", "cores", "load", "type", "side", "multiply-adds/s", "spread"]]
            + [
                [
                    row["device"][:24], str(row["cores"]), f"{row['load'] or 0:.1f}", row.get("dtype") or "float32",
                    str(row["side"]), scaled(row["multiply_adds"] / row["seconds"]), spread(row),
                ]
                for row in of("machine")
            ],
        ),
        (
            "size: parameters (of the discriminator), multiply-adds an example and frame",
            [["method, stages", "px", "parameters", "batch", "example", "frame"]]
            + _under([line for row in of("cost") for line in _sizes(row)]),
        ),
        (
            "training: a step",
            [["method, stages", "batch", "compile", "spread", "steps/s", "memory", "moved", "peak%"]]
            + _under(
                [
                    (
                        _subject(row),
                        [
                            row["stage"], str(row["batch"]), seconds(row["compile_seconds"]), spread(row), rate(1, row),
                            memory(row["peak_bytes"]), memory(row["bytes_moved"]), _share(row, speed),
                        ],
                    )
                    for row in of("train")
                ]
            ),
        ),
        (
            "generation: frames of a clip",
            [["method", "compile", "first", "spread", "frames/s", "memory", "moved", "peak%"]]
            + [
                [
                    _subject(row), seconds(row["compile_seconds"]), seconds(row["first_seconds"]), spread(row),
                    rate(row["frames"], row), memory(row["peak_bytes"]), memory(row["bytes_moved"] / row["frames"]),
                    _share(row, speed),
                ]
                for row in of("generate")
            ],
        ),
        (
            "judges",
            [["judge", "px", "first", "spread", "frames/s", "memory"]]
            + [
                [
                    row["judge"], str(row["size"]), seconds(row["first_seconds"]), spread(row),
                    rate(row["frames"], row), memory(row["peak_bytes"]),
                ]
                for row in of("judge")
            ],
        ),
        (
            "data: examples of a stage, frames decoded from records",
            [["method, stages", "px", "workers", "batch", "spread", "examples/s", "frames/s"]]
            + _under([line for row in of("data") for line in _loaded(row)]),
        ),
    ]  # fmt: skip
    return [(title, lines) for title, lines in made if len(lines) > 1]


def _share(row: dict, speed: dict) -> str:
    """Of the machine's rate of matrix products in the same type, in hundredths."""
    best = speed.get(row.get("dtype"))
    return "-" if not best else f"{100 * row['multiply_adds'] / row['seconds'] / best:.0f}"


def _sizes(row: dict) -> list[tuple[str, list[str]]]:
    lines = []
    for stage in row["stages"]:
        sizes, other = scaled(stage["parameters"]), stage["discriminator_parameters"]
        cells = [
            stage["stage"], str(row["size"]), sizes + (f" ({scaled(other)})" if other else ""), str(stage["batch"]),
            scaled(stage.get("multiply_adds_an_example")), "" if lines else scaled(row.get("multiply_adds_a_frame")),
        ]  # fmt: skip
        lines.append((_subject(row), cells))
    return lines


def _loaded(row: dict) -> list[tuple[str, list[str]]]:
    lines = []
    for stage in row["stages"]:
        decoded = "" if lines else rate(row["decode"]["frames"], row["decode"])
        cells = [stage["stage"], str(row["size"]), str(stage["workers"]), str(stage["batch"]), spread(stage)]
        lines.append((_subject(row), [*cells, rate(stage["batch"], stage), decoded]))
    return lines


def notes(figures: list[dict]) -> list[str]:
    """What wasn't measured and why, and what to know of what was."""
    found = []
    for row in figures:
        keys = [row.get(key) for key in ("what", "method", "preset", "judge", "dtype", "batch")]
        name = " ".join(str(key) for key in keys if key)
        name += f", stage {row.get('stage', row.get('number'))}" if row["what"] == "train" else ""
        found += [f"{name}: {row[key]}" for key in ("error", "note") if row.get(key)]
        if row.get("generate_missing"):
            found.append(f"{name}: no multiply-adds of a frame ({row['generate_missing']})")
        if row["what"] == "cost":
            found += [
                f"{name}, stage {stage['stage']}: no multiply-adds of training: {stage['missing']}"
                for stage in row.get("stages", [])
                if "missing" in stage
            ]
    return found
