"""The layouts of the data sets, on made-up trees of empty files: what is taken, what is missing, which split."""

import pytest
from prepare_videos import face_points, pictures, speech, write

from talkbench.data.prepare.run import prepare, records
from talkbench.data.prepare.segments import Dropped
from talkbench.data.prepare.selection import select
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.survey import survey
from talkbench.data.prepare.trees import hdtf, read, voxceleb2
from talkbench.data.prepare.units import TreeError, split_by_name
from talkbench.data.sources import held_out, open_store


def touch(root, *names, text=""):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def takes(listing):
    return {take.clip_id: take for unit in listing.units for take in unit.takes}


def test_voxceleb2(tmp_path):
    touch(
        tmp_path,
        "dev/mp4/id00012/vid/00001.mp4", "dev/mp4/id00012/vid/00002.mp4", "dev/mp4/stray.mp4",
        "dev/aac/id00012/vid/00001.m4a", "dev/aac/id00012/vid/00009.m4a",
        "dev/txt/id00012/vid/00001.txt", "dev/txt/id00013/vid/00001.txt",
        "test/mp4/id05176/vid/00055.mp4",
    )  # fmt: skip
    touch(tmp_path, "vox2_meta.csv", text="id ,vgg ,gender ,set\nid00012 ,n1 ,m ,dev\nid00099 ,n2 ,f ,dev\n")
    listing = read("voxceleb2", tmp_path)
    assert list(takes(listing)) == ["id00012/vid/00001", "id00012/vid/00002", "id05176/vid/00055"]
    assert (
        listing.units[0].audio == tmp_path / "dev/aac/id00012/vid/00001.m4a"
        and listing.units[1].audio is None
    )
    assert listing.missing == [
        "dev/mp4/id00012/vid/00009.mp4", "dev/mp4/id00013/vid/00001.mp4", "dev/mp4/id00099",
    ]  # fmt: skip
    assert len(listing.notes) == 1 and "stray.mp4" in listing.notes[0]
    assert takes(listing)["id05176/vid/00055"].split == "test"
    assert takes(listing)["id00012/vid/00001"].split == split_by_name("id00012")
    with pytest.raises(TreeError, match="dev/mp4"):
        read("voxceleb2", tmp_path / "dev")


def test_linked_folders_are_searched(tmp_path):
    touch(tmp_path, "elsewhere/id00012/vid/00001.mp4", "raw/dev/mp4/.hidden/00003.mp4")
    (tmp_path / "raw/dev/mp4/id00012").symlink_to(tmp_path / "elsewhere/id00012")
    (tmp_path / "elsewhere/id00012/vid/round").symlink_to(tmp_path / "elsewhere/id00012")
    assert list(takes(read("voxceleb2", tmp_path / "raw"))) == ["id00012/vid/00001"]


def test_voxceleb2_protocols():
    def clip(name, frames):
        return {"clip_id": name, "identity": name[:7], "split": "test", "frames": frames}

    clips = [
        clip("id00002/b/00002", 200), clip("id00002/b/00001", 128), clip("id00002/a/00005", 127),
        clip("id00001/x/00001", 300), clip("id00003/x/00001", 100), clip("id00004/x/00001", 500),
    ]  # fmt: skip
    lists = voxceleb2.protocols(clips)
    assert lists["vox2-test"] == ["id00001/x/00001", "id00002/b/00001", "id00004/x/00001"]
    assert lists["vox2-test-cross"][0] == "id00001/x/00001\tid00002/b/00001"
    assert voxceleb2.protocols([]) == {}


HDTF = {
    "RD_video_url": "Radio24 https://www.youtube.com/watch?v=aaa\nRadio1 https://www.youtube.com/watch?v=r1&t=6s",
    "RD_resolution": "Radio24.mp4 720\nRadio1.mp4 720",
    "RD_annotion_time": "Radio1.mp4 00:00-00:10 01:05-02:00 \n",
    "RD_crop_wh": "Radio1_0.mp4 100 512 0 512\nRadio1_1.mp4 100 512 0 512",
    "WDA_video_url": "\ufeffCarolynMaloney2 https://youtu.be/cm2\nMaggieHassan https://www.youtube.com/watch?v=mh",
    "WDA_resolution": "CarolynMaloney2.mp4 1080\nMaggieHassan.mp4 720",
    "WDA_annotion_time": "CarolynMaloney2.mp4 00:01-00:11\nMaggieHassan.mp4 00:00-00:20",
    "WDA_crop_wh": "CarolynMaloney2_0.mp4 200 700 10 700\nMaggieHassan_0.mp4 0 776 0 776",
    "WRA_video_url": "TimScott https://www.youtube.com/watch?v=ts\nMittRomney https://www.youtube.com/watch?v=mr",
    "WRA_resolution": "TimScott.mp4 720\nMittRomney.mp4 720",
    "WRA_annotion_time": "TimScott.mp4 00:00-00:10 00:20-00:30\nMittRomney.mp4 08:10-08:30 00:33-08:53",
    "WRA_crop_wh": "TimScott_0.mp4 0 500 0 500\nTimScott_1.mp4 0 500 0 500\nMittRomney_0.mp4 0 500 0 500",
}


def test_hdtf_with_its_errata(tmp_path):
    for name, text in HDTF.items():
        touch(tmp_path, f"HDTF_dataset/{name}.txt", text=text)
    touch(tmp_path, "v/r1.mp4", "v/CarolynMaloney2.mp4", "v/WDA_MaggieHassan.mp4", "v/WRA_TimScott_000.mp4")
    listing = read("hdtf", tmp_path)
    found = takes(listing)
    assert sorted(found) == [
        "RD_Radio1_000", "RD_Radio1_001", "WDA_CarolynMaloney2_000", "WDA_MaggieHassan_000", "WRA_TimScott_000",
    ]  # fmt: skip
    radio = found["RD_Radio1_001"]
    assert radio.seconds == (65, 120) and radio.box == (100, 0, 612, 512) and radio.listed == (0, 720)
    assert radio.split == "train" and found["WDA_MaggieHassan_000"].listed == (0, 1080)
    assert found["WRA_TimScott_000"].crop == "whole" and found["WRA_TimScott_000"].split == "test"
    assert hdtf.split_of("WRA_TimScott_001") == "held"
    assert listing.missing == ["WRA_TimScott_001", "WRA_MittRomney_000"]
    notes = " ".join(listing.notes)
    assert "RD_Radio24 has no interval" in notes and "WRA_MittRomney_001 has no box" in notes
    assert "WDA_MaggieHassan: boxes counted in 1080 lines" in notes
    assert hdtf.stem("JamesClyburn1") == hdtf.stem("WhipJimClyburn") == "clyburn"
    assert len(hdtf.TEST) == 20
    (tmp_path / "HDTF_dataset/WRA_crop_wh.txt").unlink()
    with pytest.raises(TreeError, match="WRA_crop_wh.txt"):
        read("hdtf", tmp_path)


def test_talkinghead1kh(tmp_path):
    touch(
        tmp_path, "data_list/val_video_tubes.txt",
        text="a_b_0001,720,1280,10,110,100,50,400,350\nmissing_0000,720,1280,0,9,0,0,9,9\n",
    )  # fmt: skip
    touch(tmp_path, "data_list/small_video_tubes.txt", text="a_b_0001,720,1280,10,110,100,50,400,350")
    touch(tmp_path, "val/1min_clips/a_b_0001.mp4")
    listing = read("talkinghead1kh", tmp_path)
    (take,) = takes(listing).values()
    assert (
        take.clip_id == "a_b_0001_S10_E110_L100_T50_R400_B350"
        and take.video == "a_b"
        and take.split == "test"
    )
    assert take.source_frames == (10, 110) and take.box == (100, 50, 400, 350) and take.listed == (1280, 720)
    assert listing.silent and listing.missing == ["missing_0000_S0_E9_L0_T0_R9_B9"]
    touch(tmp_path, "data_list/val_video_tubes.txt", text="a_b_0001,720")
    with pytest.raises(TreeError, match="line 1"):
        read("talkinghead1kh", tmp_path)


def test_vox_metadata_keeps_leaks_out_of_training(tmp_path):
    head = "video_id,start,end,bbox,fps,width,height,partition,person_id\n"
    rows = [
        "v1,25,125,10-20-110-140,25.0,1280,720,train,id10001", "v1,200,300,10-20-110-140,25.0,1280,720,train,id10282",
        "hgB5ziAudzU,0,64,1-2-3-4,25.0,1280,720,train,id10002", "v2,0,64,1-2-3-4,25.0,1280,720,test,id10280",
    ]  # fmt: skip
    touch(tmp_path, "vox-metadata.csv", text=head + "\n".join(rows))
    touch(tmp_path, "v1.mp4", "id10280#v2#000000#000064.mp4")
    listing = read("vox-metadata", tmp_path)
    found = takes(listing)
    assert found["id10001#v1#000025#000125"].seconds == (1, 5)
    assert found["id10001#v1#000025#000125"].box == (10, 20, 110, 140)
    assert found["id10282#v1#000200#000300"].split == "held"
    assert found["id10280#v2#000000#000064"].crop == "whole"
    assert listing.missing == ["id10002#hgB5ziAudzU#000000#000064"] and "2 training rows" in listing.notes[0]
    touch(tmp_path, "vox-metadata.csv", text="a,b\n1,2\n")
    with pytest.raises(TreeError, match="columns"):
        read("vox-metadata", tmp_path)


def test_lrw_and_grid(tmp_path):
    lrw = tmp_path / "lrw"
    touch(lrw, "lipread_mp4/ABOUT/test/ABOUT_00001.mp4", "lipread_mp4/ABOUT/train/ABOUT_00001.mp4")
    touch(lrw, "lipread_mp4/WORLD/val/WORLD_00003.mp4")
    listing = read("lrw", lrw)
    assert sorted(takes(listing)) == [
        "ABOUT/test/ABOUT_00001", "ABOUT/train/ABOUT_00001", "WORLD/val/WORLD_00003",
    ]  # fmt: skip
    assert listing.min_frames == 29 and listing.missing == ["WORLD/test/WORLD_00001"]
    clips = [{"clip_id": name, "identity": name} for name in takes(listing)]
    assert listing.protocols(clips) == {"lrw-test500": ["ABOUT/test/ABOUT_00001"]}

    grid = tmp_path / "grid"
    touch(grid, "s29/b.mpg", "s29/a.mpg", "video/s3/mpg_6000/a.mpg", "audio/s29/a.wav", "readme/x.mpg")
    listing = read("grid", grid)
    found = takes(listing)
    assert sorted(found) == ["s29/a", "s29/b", "s3/a"] and found["s29/a"].split == "test"
    assert [unit.audio is not None for unit in listing.units] == [True, False, False]
    assert "s1" in listing.missing and "s21" not in listing.missing and "s29" not in listing.missing
    clips = [{"clip_id": name, "identity": name.split("/")[0]} for name in found]
    assert listing.protocols(clips)["grid-s29"] == ["s29/a", "s29/b"]


@pytest.mark.parametrize(
    "dataset", ["folder", "lrw", "grid", "voxceleb2", "talkinghead1kh", "hdtf", "vox-metadata"]
)
def test_an_empty_folder_says_what_was_expected(dataset, tmp_path):
    with pytest.raises(TreeError):
        read(dataset, tmp_path)
    with pytest.raises(TreeError, match="no such folder"):
        read(dataset, tmp_path / "nowhere")


def test_a_listed_box_is_cut_and_held_against_the_face(tmp_path):
    for name, text in HDTF.items():
        only = "" if name.startswith(("WDA", "WRA")) else text
        touch(tmp_path, f"{name}.txt", text=only)
    touch(tmp_path, "RD_resolution.txt", text="Radio1.mp4 128")  # twice the lines of this version
    touch(tmp_path, "RD_annotion_time.txt", text="Radio1.mp4 00:00-00:01 00:01-00:02 00:09-00:12")
    touch(
        tmp_path, "RD_crop_wh.txt",
        text="Radio1_0.mp4 16 100 20 100\nRadio1_1.mp4 0 20 0 20\nRadio1_2.mp4 16 100 20 100",
    )  # fmt: skip
    write(tmp_path / "Radio1.mp4", pictures(50), speech(50), face_points(50))
    (unit,) = read("hdtf", tmp_path).units
    settings = Settings(size=32, min_frames=8)
    kept, refused = select(unit, survey(unit, settings), settings)
    assert [(s.clip_id, s.first, s.end, s.box, s.tag) for s in kept] == [
        ("RD_Radio1_000", 0, 25, (8, 10, 58, 60), "hdtf")
    ]
    assert [(take.clip_id, drop.reason) for take, drop in refused] == [
        ("RD_Radio1_001", "no_face"), ("RD_Radio1_002", "truncated"),
    ]  # fmt: skip
    assert all(isinstance(drop, Dropped) for _, drop in refused)


def test_splits_reach_training(tmp_path, capsys):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for name, seed in (("dev/mp4/id00012/a/00001", 1), ("test/mp4/id00013/b/00001", 2)):
        write(raw / f"{name}.mp4", pictures(10, seed), None, face_points(10))
    sound = raw / "dev/aac/id00012/a/00001.m4a"
    sound.parent.mkdir(parents=True)
    write(raw / "sound.mp4", pictures(10), speech(10))
    (raw / "sound.mp4").rename(sound)
    settings = Settings(size=32, min_frames=8)
    summary = prepare(read("voxceleb2", raw), settings, out, "voxceleb2")
    assert summary.reasons == {"no_audio": 1}  # the test clip has no aac file
    data = f"voxceleb2={out}"
    split = split_by_name("id00012")
    assert open_store(data, 32, split).clip_ids == ["id00012/a/00001"] and held_out(data, split)
    assert abs(open_store(data, 32, "all").clip("id00012/a/00001").audio).max() > 0.1
    capsys.readouterr()
    assert len(open_store(data, 32, "test")) == 1 and "no split 'test'" in capsys.readouterr().out
    assert records(out).meta("id00012/a/00001")["video"] == "id00012/a"
