"""Whether a method is told apart from the best one: paired bootstrap over speakers, metric by metric."""

from pathlib import Path

from talkbench.evaluation import compare
from talkbench.evaluation.results import row_folder
from talkbench.leaderboard.tables import best, is_ranked
from talkbench.metrics.registry import METRICS

# A row's track is the most telling thing that it sees of the target; and how the page says so.
TRACKS = {
    "coefficients": "true coefficients",
    "video": "sees video",
    "pose": "pose and sound",
    "audio": "sound only",
    "nothing": "nothing",
}


def track(row: dict) -> str:
    """What a row's method sees of the target: rows of one track may be compared with each other."""
    return next((name for name in TRACKS if name in row["driven_by"]), "nothing")


def scores(results: Path, table: dict) -> dict[tuple[str, str], compare.Scores]:
    """{(method, task): scores by clip} of the ranked rows that have them."""
    found = {}
    for row in table["rows"]:
        folder = row_folder(results, row["method"], row["task"])
        if row["kind"] == "method" and is_ranked(row) and compare.is_results(folder):
            try:
                found[row["method"], row["task"]] = compare.read(folder)
            except compare.CompareError:  # no clip was scored; the table says why
                continue
    return found


def marks(table: dict, task: str, rows: list[dict], known: dict) -> dict[tuple[str, str], tuple]:
    """Comparisons of methods with the best of them.

    Args:
        rows: of the table, in one task, that are compared: all, or those of a track.
        known: of `scores`.

    Returns:
        {(method, metric key): (best method's name, `compare.Comparison` with the best one as `a`)}; the best itself,
        set-level metrics (which have no scores by clip) and rows without scores by clip are not in it.
    """
    rows = [row for row in rows if row["task"] == task and is_ranked(row)]
    pairs: dict[tuple[str, str], list[str]] = {}
    for key in table["metrics"]:
        if METRICS[key].level == "set":
            continue
        top = best({**table, "rows": rows}, key, task)
        leader = next((r for r in rows if key in r["metrics"] and r["metrics"][key]["value"] == top), None)
        if leader is None or leader["kind"] != "method" or (leader["method"], task) not in known:
            continue
        for row in rows:
            here = row["kind"] == "method" and (row["method"], task) in known
            if here and row is not leader and key in row["metrics"]:
                pairs.setdefault((leader["method"], row["method"]), []).append(key)
    found = {}
    for (leader, other), keys in pairs.items():
        try:
            compared, _ = compare.compare(known[leader, task], known[other, task], keys)
        except compare.CompareError:  # no clip in common
            continue
        found |= {(other, comparison.key): (leader, comparison) for comparison in compared}
    return found
