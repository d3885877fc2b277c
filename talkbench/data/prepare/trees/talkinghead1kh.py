"""TalkingHead-1KH: data_list/{train,val,small}_video_tubes.txt and the one-minute pieces VIDEO_NNNN.mp4, or the cut tubes.

The official download has no sound.
"""

from pathlib import Path

from talkbench.data.prepare.trees.folder import landmarks_beside, videos
from talkbench.data.prepare.units import Listing, Take, TreeError, Unit, split_by_name

LISTS = ("train", "val", "small")


def read(source: Path) -> Listing:
    """Clip ids are the official file names, PIECE_S_E_L_T_R_B. The list "val" is the evaluation set: split "test"; "small",
    a trial set, is in no split; of train, videos in 5 of 100 hashes are "val".
    """
    lists = {name: source / "data_list" / f"{name}_video_tubes.txt" for name in LISTS}
    if not any(path.exists() for path in lists.values()):
        raise TreeError(
            f"{source}: none of data_list/{{train,val,small}}_video_tubes.txt; unpack data_list.zip there"
        )
    files = {path.stem: path for path in videos(source)}
    takes: dict[Path, list[Take]] = {}
    seen: set[str] = set()
    missing: list[str] = []
    for name, path in lists.items():
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path.exists() else []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                piece, *numbers = line.strip().rsplit(",", 8)
                height, width, first, last, left, top, right, bottom = (int(v) for v in numbers)
            except ValueError as error:
                raise TreeError(f"{path}: line {number}: expected video_name,H,W,S,E,L,T,R,B") from error
            clip_id = f"{piece}_S{first}_E{last}_L{left}_T{top}_R{right}_B{bottom}"
            if clip_id in seen:  # "small" repeats tubes of the others
                continue
            seen.add(clip_id)
            video = piece.rsplit("_", 1)[0]
            split = {"val": "test", "small": "held"}.get(name) or split_by_name(video)
            if clip_id in files:
                takes[files[clip_id]] = [Take(clip_id, video, video, split, crop="whole", tag="tube-cut")]
            elif piece in files:
                take = Take(
                    clip_id, video, video, split, source_frames=(first, last), box=(left, top, right, bottom),
                    listed=(width, height), crop="box", tag="tube",
                )  # fmt: skip
                takes.setdefault(files[piece], []).append(take)
            else:
                missing.append(clip_id)
    units = [
        Unit(path.relative_to(source).as_posix(), path, tuple(chosen), landmarks=landmarks_beside(path))
        for path, chosen in sorted(takes.items())
    ]
    return Listing(units, missing, silent=True)
