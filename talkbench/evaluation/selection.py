"""Which clips of a data set a benchmark takes, by rules that depend on their ids and lengths alone.

A rule gives the same clips on every machine that has the same data; where clips are missing (most of these sets
are lists of links that die) the hash of the list differs, and it stands in every row.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

LEAST_FRAMES = {"voxceleb2-test": 128}
VOXCELEB2_IDENTITIES = 118
# The test set of the line StyleHEAT, OTAvatar, GOHA; names as universome/HDTF gives them.
HDTF_TEST20 = tuple(
    f"{name}_000"
    for name in (
        *(
            "WDA_CatherineCortezMasto",
            "WDA_MartinHeinrich",
            "WDA_MikeDoyle",
            "WRA_DeanHeller",
            "WRA_EricCantor",
        ),
        *("WRA_ErikPaulsen", "WRA_GeoffDavis", "WRA_JoePitts", "WRA_JohnThune", "WRA_OlympiaSnowe"),
        *("WRA_ReincePriebus", "WRA_ReneeEllmers", "WRA_RichardShelby", "WRA_RobPortman", "WRA_RoyBlunt"),
        *("WRA_TimScott", "WRA_ToddYoung", "WRA_TomCotton", "WRA_TomPrice", "WRA_VickyHartzler"),
    )
)
_UTTERANCE = re.compile(r"(id\d{5})[/#](.+)[/#](\d+)$")


class SelectionError(ValueError):
    """A rule or a list that fits no clip; the message says what it looked for."""


@dataclass(frozen=True)
class Selection:
    """The clips of a benchmark.

    Attributes:
        ids: in the order in which they are evaluated (and paired).
        rule: name of the rule, or of the user's list.
        expected: how many the whole set has; None: no telling.
        missing: ids (or identities) that the rule names and the source lacks.
    """

    ids: list[str]
    rule: str
    expected: int | None = None
    missing: tuple[str, ...] = ()

    def as_dict(self) -> dict:
        """Plain values for the rows: the list by its hash."""
        listed = hashlib.sha256("\n".join(self.ids).encode()).hexdigest()
        return {
            "rule": self.rule,
            "found": len(self.ids),
            "expected": self.expected,
            "missing": list(self.missing),
            "list_sha256": listed,
        }


def select(source, rule: str = "", *, split: str = "", count: int | None = None) -> Selection:
    """Apply a rule to a source.

    Args:
        source: has `clip_ids`; rules that look at lengths need `view(clip_id).num_frames`.
        rule: "" (all, in the source's order), a key of `RULES`, or a path of a text file with an id a line.
        split: clips of this split, where the source marks some so; else all.
        count: at most so many.

    Raises:
        SelectionError: no such rule, or no clip fits it.
    """
    ids = list(source.clip_ids)
    if rule in RULES:
        ids = _of_split(source, ids, split)
        found = RULES[rule](source, ids)
    elif rule:
        found = _listed(Path(rule), ids)
    else:
        found = Selection(ids, "all")
    if not found.ids:
        some = f"; {found.missing[0]!r} is one" if found.missing else ""
        raise SelectionError(f"{source.name} has no clip that {found.rule} asks for{some}")
    return Selection(found.ids[:count], found.rule, found.expected, found.missing)


def crossed(ids: list[str]) -> dict[str, str]:
    """{driving clip: clip whose first frame is the source}: source i goes with driving (i + n / 2) mod n.

    Raises:
        SelectionError: fewer than two clips.
    """
    if len(ids) < 2:
        raise SelectionError("cross_identity needs two clips at least")
    shift = len(ids) // 2
    return {ids[(i + shift) % len(ids)]: source for i, source in enumerate(ids)}


def _of_split(source, ids: list[str], split: str) -> list[str]:
    if not hasattr(source, "view"):
        return ids
    marked = [clip_id for clip_id in ids if source.view(clip_id).split == split]
    return marked or ids


def _voxceleb2(source, ids: list[str]) -> Selection:
    """Of each identity, its videos sorted by id, the first utterance of at least 128 frames."""
    rule = "voxceleb2-test"
    spoken: dict[str, list] = {}
    for clip_id in ids:
        if fits := _UTTERANCE.search(clip_id):
            identity, video, number = fits.groups()
            spoken.setdefault(identity, []).append((video, int(number), clip_id))
    chosen, short = [], []
    for identity in sorted(spoken):
        long = (c for *_, c in sorted(spoken[identity]) if source.view(c).num_frames >= LEAST_FRAMES[rule])
        first = next(long, None)
        if first is None:
            short.append(identity)
        else:
            chosen.append(first)
    return Selection(chosen, rule, VOXCELEB2_IDENTITIES, tuple(short) if spoken else ("idNNNNN#VIDEO#NNNNN",))


def _hdtf(source, ids: list[str]) -> Selection:
    """The 20 clips, whatever stands before their names in the source."""
    places = {re.split(r"[/#]", clip_id)[-1]: clip_id for clip_id in ids}
    found = [places[name] for name in HDTF_TEST20 if name in places]
    missing = tuple(name for name in HDTF_TEST20 if name not in places)
    return Selection(found, "hdtf-test20", len(HDTF_TEST20), missing)


def _listed(path: Path, ids: list[str]) -> Selection:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SelectionError(
            f"--clips {path}: cannot be read as a list of ids, one a line: {error}"
        ) from error
    wanted = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    there = set(ids)
    found = [clip_id for clip_id in wanted if clip_id in there]
    missing = tuple(clip_id for clip_id in wanted if clip_id not in there)
    return Selection(found, f"list {path.name}", len(wanted), missing)


RULES = {"voxceleb2-test": _voxceleb2, "hdtf-test20": _hdtf}
