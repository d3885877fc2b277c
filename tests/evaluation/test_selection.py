from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from talkbench.evaluation.selection import HDTF_TEST20, SelectionError, crossed, select


@dataclass
class Lengths:
    """A source of which only ids, lengths and splits are asked."""

    frames: dict
    split: dict = None
    name: str = "lengths"

    @property
    def clip_ids(self):
        return list(self.frames)

    def view(self, clip_id):
        return SimpleNamespace(num_frames=self.frames[clip_id], split=(self.split or {}).get(clip_id, ""))


def test_voxceleb2_takes_the_first_long_utterance_of_the_first_video_that_has_one():
    source = Lengths(
        {
            "id00017#b#00002": 400,
            "id00017#b#00001": 127,
            "id00017#a#00009": 100,
            "id00017#b#00010": 300,
            "id00012/c/00003": 128,
            "id00012/c/00020": 128,
            "id00099#z#00001": 20,
        }
    )
    found = select(source, "voxceleb2-test", split="test")
    assert found.ids == ["id00012/c/00003", "id00017#b#00002"] and found.missing == ("id00099",)
    said = found.as_dict()
    assert (said["found"], said["expected"]) == (2, 118)
    backwards = Lengths(dict(reversed(source.frames.items())))
    assert select(backwards, "voxceleb2-test").as_dict() == said, "the order of files must not matter"
    source.frames["id00017#a#00001"] = 200
    assert select(source, "voxceleb2-test").as_dict()["list_sha256"] != said["list_sha256"]


def test_only_the_split_where_clips_are_marked():
    frames = {"id00001#a#00001": 200, "id00002#a#00001": 200}
    source = Lengths(frames, {"id00001#a#00001": "dev", "id00002#a#00001": "test"})
    assert select(source, "voxceleb2-test", split="test").ids == ["id00002#a#00001"]
    assert len(select(Lengths(frames), "voxceleb2-test", split="test").ids) == 2


def test_hdtf_names_its_twenty():
    assert len(set(HDTF_TEST20)) == 20
    source = Lengths(dict.fromkeys(["WRA_TimScott_000", "x/WDA_MikeDoyle_000", "WRA_TimScott_001"], 250))
    found = select(source, "hdtf-test20")
    assert found.ids == ["x/WDA_MikeDoyle_000", "WRA_TimScott_000"]
    assert found.expected == 20 and len(found.missing) == 18


def test_a_list_of_ones_own(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("b\n\na \nlost\n", encoding="utf-8-sig")
    found = select(Lengths(dict.fromkeys("abc", 9)), str(path))
    assert found.ids == ["b", "a"] and found.missing == ("lost",) and found.rule == "list mine.txt"
    assert select(Lengths(dict.fromkeys("abc", 9)), count=2).ids == ["a", "b"]


@pytest.mark.parametrize("rule", ["voxceleb2-test", "hdtf-test20", "no such file.txt"])
def test_what_fits_nothing_is_an_error(rule):
    with pytest.raises(SelectionError):
        select(Lengths({"a": 500}), rule)


def test_pairs_are_of_two_and_cover_all():
    ids = [f"i{n:03d}" for n in range(118)]
    pairs = crossed(ids)
    assert pairs["i059"] == "i000" and pairs["i000"] == "i059" and pairs["i058"] == "i117"
    assert sorted(pairs.values()) == sorted(pairs) == ids and all(a != b for a, b in pairs.items())
    odd = crossed(["a", "b", "c"])
    assert sorted(odd.values()) == sorted(odd) and all(a != b for a, b in odd.items())
    with pytest.raises(SelectionError):
        crossed(["a"])
