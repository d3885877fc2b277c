"""From what the first pass found to the clips that are kept, each with its crop, and the reasons for the rest."""

from talkbench.data.clip import FPS
from talkbench.data.media import centre_square
from talkbench.data.prepare import checks, faces
from talkbench.data.prepare.segments import Dropped, Segment, chunks, enlarged, inside
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.survey import Survey
from talkbench.data.prepare.units import Take, Unit

_GREY_LINES = 2


def select(unit: Unit, seen: Survey, settings: Settings) -> tuple[list[Segment], list[tuple[Take, Dropped]]]:
    """The clips of a file, and what was refused of it (a take, or stretches of one)."""
    kept: list[Segment] = []
    refused: list[tuple[Take, Dropped]] = []
    for take in unit.takes:
        try:
            segments, dropped = _take(take, seen, settings)
        except Dropped as drop:
            segments, dropped = [], [drop]
        if len(segments) > 1:
            for number, segment in enumerate(segments):
                segment.clip_id += f"#{number:03d}"
        kept += segments
        refused += [(take, drop) for drop in dropped]
    return kept, refused


def _take(take: Take, seen: Survey, settings: Settings) -> tuple[list[Segment], list[Dropped]]:
    first, end = _range(take, seen)
    checks.check_length(end - first, settings)
    audio = slice(640 * first, 640 * end)
    checks.check_audio(seen.audio[audio], seen.covered(first, end), settings)
    width, height = seen.info.width, seen.info.height
    if take.crop == "detect" and settings.crop != "whole":
        segments, dropped = _detected(take, seen, settings, first, end)
    else:
        box = take.box and _scaled(take, width, height)
        segments, dropped = [_fixed(take, seen, settings, first, end, box)], []
    good = []
    for segment in segments:
        try:
            checks.check_length(segment.frames, settings)
            checks.check_audio(
                seen.audio[640 * segment.first : 640 * segment.end],
                seen.covered(segment.first, segment.end),
                settings,
            )
            checks.check_still(seen.equal[segment.first : segment.end], settings)
            _no_cut(segment, seen, settings)
        except Dropped as drop:
            dropped.append(drop)
            continue
        segment.flags = _flags(segment, seen, settings)
        good.append(segment)
    return good, dropped


def _range(take: Take, seen: Survey) -> tuple[int, int]:
    """Frames of the take: those whose time lies in its seconds."""
    if take.source_frames is not None:
        rate = seen.info.fps or FPS
        begin, stop = take.source_frames[0] / rate, (take.source_frames[1] + 1) / rate
    elif take.seconds is not None:
        begin, stop = take.seconds
    else:
        return 0, seen.frames
    first, end = round(begin * FPS), round(stop * FPS)
    # lists round to a second or a frame, so that the last one may lack a little
    if end > seen.frames + FPS:
        raise Dropped("truncated", f"the clip ends at {stop:.2f} s, the file at {seen.frames / FPS:.2f} s")
    return first, min(end, seen.frames)


def _scaled(take: Take, width: int, height: int) -> tuple[int, int, int, int]:
    """The listed box in pixels of this version of the video."""
    listed = take.listed or (width, height)
    down = height / listed[1]
    scale = width / listed[0] if listed[0] else down, down
    box = tuple(int(round(edge * scale[side % 2])) for side, edge in enumerate(take.box))
    return inside(box, width, height)


def _fixed(take: Take, seen: Survey, settings: Settings, first: int, end: int, box) -> Segment:
    width, height = seen.info.width, seen.info.height
    if box is None:
        top, left, side = centre_square(height, width)
        box = left, top, left + side, top + side
    within = [_centred_in(seen.found[n], box) for n in sorted(seen.found) if first <= n < end]
    checks.check_faces(within, seen.least, settings)
    sides = [_side(boxes[0]) for boxes in within if len(boxes)]
    mean = sum(sides) / len(sides)
    _check_size(mean, settings)
    if take.crop == "box":
        share = mean / max(box[2] - box[0], box[3] - box[1])
        low, high = settings.face_share
        if not low <= share <= high:
            raise Dropped("wrong_box", f"the face takes {100 * share:.0f} % of the listed box's side")
    return Segment(take.clip_id, first, end, box, take.tag or take.crop, mean)


def _detected(take: Take, seen: Survey, settings: Settings, first: int, end: int):
    width, height = seen.info.width, seen.info.height
    looked = [seen.found[n] for n in sorted(seen.found) if first <= n < end]
    checks.check_faces(looked, seen.least, settings)
    cuts = [n for n in range(first + 1, end) if seen.change[n] > settings.cut_threshold]
    tracks = []
    for begin, stop in zip([first, *cuts], [*cuts, end]):
        tracks += faces.follow(seen.found, begin, stop, settings.face_gap)
    sides = sorted(_side(box) for _, boxes in tracks for box in boxes)
    whole = settings.crop == "auto" and sides[len(sides) // 2] >= settings.whole_above * min(width, height)
    segments, dropped = [], []
    for begin, boxes in tracks:
        for low, high, union in chunks(boxes, settings.chunk_overlap, settings.max_frames):
            mean = sum(_side(box) for box in boxes[low:high]) / (high - low)
            try:
                checks.check_length(high - low, settings)
                _check_size(mean, settings)
                if whole:
                    top, left, side = centre_square(height, width)
                    box, tag = (left, top, left + side, top + side), "whole"
                else:
                    box, tag = inside(enlarged(union, settings.increase), width, height), "union"
            except Dropped as drop:
                dropped.append(drop)
                continue
            segments.append(Segment(take.clip_id, begin + low, begin + high, box, tag, mean))
    return segments, dropped


def _check_size(side: float, settings: Settings) -> None:
    least = settings.small_face * settings.size
    if side < least:
        raise Dropped(
            "small_face", f"{side:.0f} px, at least {least:.0f} are wanted for {settings.size} px pictures"
        )


def _side(box) -> float:
    return float(max(box[2] - box[0], box[3] - box[1]))


def _centred_in(boxes, outer):
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return boxes[(centres >= outer[:2]).all(1) & (centres < outer[2:]).all(1)]


def _no_cut(segment: Segment, seen: Survey, settings: Settings) -> None:
    change = seen.change[segment.first + 1 : segment.end]
    if len(change) and change.max() > settings.cut_threshold:
        where = segment.first + 1 + int(change.argmax())
        raise Dropped("shot_cut_in_segment", f"a cut at frame {where} (difference {change.max():.0f})")


def _flags(segment: Segment, seen: Survey, settings: Settings) -> list[str]:
    left, top, right, bottom = segment.box
    flags = list(seen.info.flags)
    flags += checks.audio_flags(seen.audio[640 * segment.first : 640 * segment.end], settings)
    if min(right - left, bottom - top) < settings.size:
        flags.append("upscaled")
    if seen.grey >= _GREY_LINES:
        flags.append("grey_padding")
    return flags
