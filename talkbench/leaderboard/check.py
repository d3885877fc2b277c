"""The regression check: fresh results against the committed table, and how a new table is accepted."""

from dataclasses import dataclass
from datetime import UTC, datetime

from talkbench.columns import aligned
from talkbench.evaluation.protocol import Protocol
from talkbench.leaderboard.tables import TableError, is_sealed, merged, number, row_key, sealed

DEFAULT_TOLERANCE = 0.02  # of the committed value, for metrics to which the protocol gives none
_FAILING = ("worse", "moved", "missing", "not comparable", "edited")


@dataclass(frozen=True)
class Change:
    """Something that is not as committed.

    Attributes:
        what: "worse", "better", "moved" (a baseline: the benchmark itself changed), "missing", "new",
            "not comparable", "edited" (the committed file, by hand).
        method, metric: where; "" for the whole table or row.
        old, new, tolerance: values, None where there are none.
        note: for people.
    """

    what: str
    method: str = ""
    metric: str = ""
    old: float | None = None
    new: float | None = None
    tolerance: float | None = None
    note: str = ""

    @property
    def fails(self) -> bool:
        return self.what in _FAILING


def compare(
    fresh: dict, committed: dict, protocol: Protocol, *, methods: list[str] | None = None
) -> list[Change]:
    """What changed from the committed table to the fresh one.

    Args:
        methods: look at these rows only; None: all but external ones, which aren't computed
            anew.

    A method's metric fails when it is worse by more than the protocol's tolerance; a baseline's when it
    moves by more in either direction.
    """
    changes = []
    if not is_sealed(committed):
        changes.append(
            Change("edited", note="the committed file does not fit its digest: it was edited by hand")
        )
    if committed["version"] != fresh["version"]:
        note = f"benchmark version {committed['version']} was committed, this is {fresh['version']}"
        return [*changes, Change("not comparable", note=note)]
    new_rows = {row_key(row): row for row in fresh["rows"]}
    old_rows = {row_key(row): row for row in committed["rows"] if row["kind"] in ("method", "baseline")}
    if methods is not None:
        unknown = set(methods) - {key[1] for key in (*new_rows, *old_rows)}
        if unknown:
            raise TableError(f"no row {', '.join(sorted(unknown))} in the fresh or the committed table")
        old_rows = {key: row for key, row in old_rows.items() if key[1] in methods}
        new_rows = {key: row for key, row in new_rows.items() if key[1] in methods}
    for key, old in old_rows.items():
        if key not in new_rows:
            changes.append(Change("missing", old["method"], note="no fresh results"))
            continue
        changes += _compare_row(old, new_rows[key], fresh, committed, protocol)
    for key, row in new_rows.items():
        if key not in old_rows and row["kind"] in ("method", "baseline"):
            changes.append(Change("new", row["method"], note="not in the committed table"))
    return changes


def _compare_row(old, new, fresh, committed, protocol):
    changes = []
    for key, cell in old["metrics"].items():
        about, now = committed["metrics"].get(key, {}), fresh["metrics"].get(key)
        if now is None or key not in new["metrics"]:
            why = new.get("unavailable", {}).get(key, "not measured")
            changes.append(Change("missing", old["method"], key, cell["value"], note=why))
            continue
        different = [name for name in ("judge", "version", "better") if about.get(name) != now[name]]
        if different:
            note = "; ".join(f"{name} {about.get(name)!r} is now {now[name]!r}" for name in different)
            changes.append(Change("not comparable", old["method"], key, note=note))
            continue
        value, limit = new["metrics"][key]["value"], tolerance(protocol, key, cell["value"])
        gain = (value - cell["value"]) * (1 if now["better"] == "higher" else -1)
        if abs(gain) > limit:
            what = "moved" if old["kind"] == "baseline" else "better" if gain > 0 else "worse"
            changes.append(Change(what, old["method"], key, cell["value"], value, limit))
        before, after = cell.get("coverage"), new["metrics"][key].get("coverage")
        if before is not None and after is not None and after < before - 0.01:
            note = f"frames scored {after:.1%}, was {before:.1%}"
            changes.append(Change("worse", old["method"], key, cell["value"], value, limit, note))
    for key in new["metrics"]:
        if key not in old["metrics"]:
            changes.append(Change("new", new["method"], key, new=new["metrics"][key]["value"]))
    return changes


def tolerance(protocol: Protocol, key: str, value: float) -> float:
    """The largest change that passes: the protocol's, else 2 % of the committed value."""
    return protocol.tolerances.get(key, DEFAULT_TOLERANCE * abs(value))


def passes(changes: list[Change]) -> bool:
    """Whether nothing got worse."""
    return not any(change.fails for change in changes)


def report(changes: list[Change], benchmark: str, accepting: str = "") -> str:
    """The changes as a text table, the failing ones first, and what to do (`accepting`: flags of the command)."""
    if not changes:
        return f"{benchmark}: as committed"
    lines = [("", "row", "metric", "committed", "now", "tolerance", "")]
    for change in sorted(changes, key=lambda c: not c.fails):
        values = ["" if v is None else number(v) for v in (change.old, change.new, change.tolerance)]
        lines.append((change.what, change.method, change.metric, *values, change.note))
    text = aligned(lines)
    failing = sum(change.fails for change in changes)
    if failing:
        text.append(f"{benchmark}: {failing} of {len(changes)} changes fail the check. If they are meant:")
    else:
        text.append(f"{benchmark}: nothing got worse. To commit what is new:")
    text.append(f"  talkbench leaderboard accept {accepting or f'--benchmark {benchmark}'} --reason 'why'")
    return "\n".join(text)


def accept(fresh: dict, committed: dict | None, reason: str) -> dict:
    """The table to commit: fresh rows in place of the committed ones, with the reason on record.

    Committed rows that were not computed anew are kept while the benchmark's version and each of their
    metrics' definitions are the same, else dropped: they would stand in columns that mean something else.

    Raises:
        TableError: an empty reason.
    """
    if not reason.strip():
        raise TableError("accepting a table needs a reason: --reason 'what changed and why it is right'")
    history = list(committed.get("accepted", [])) if committed else []
    table = fresh
    if committed and committed["version"] == fresh["version"]:
        new = {row_key(row) for row in fresh["rows"]}
        kept = [row for row in committed["rows"] if row_key(row) not in new and _fits(row, committed, fresh)]
        table = merged(fresh, kept)
    entry = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "reason": reason.strip()}
    return sealed({**table, "accepted": [*history, entry]})


def _fits(row, committed, fresh) -> bool:
    return all(committed["metrics"].get(key) == fresh["metrics"].get(key) for key in row["metrics"])
