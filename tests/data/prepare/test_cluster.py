"""Ray's part of a preparation, with a stand-in for Ray."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from prepare_videos import write_face

from talkbench.cli.main import main
from talkbench.data.prepare import cluster, pool
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.trees import read
from talkbench.data.prepare.work import work
from talkbench.data.prepare.workplace import DEATHS, Workplace

SETTINGS = Settings(size=32, min_frames=8, codec="png")


class FakeRay(ModuleType):
    """Runs everything in this process; remembers how it was called."""

    def __init__(self):
        super().__init__("ray")
        self.calls = []
        self.data = ModuleType("ray.data")
        self.data.from_items = self.from_items

    def init(self, **options):
        self.calls.append(("init", options["address"]))

    def shutdown(self):
        self.calls.append(("shutdown",))

    def from_items(self, items, override_num_blocks):
        assert override_num_blocks == len(items)

        def mapped(actor, concurrency, num_cpus):
            self.calls.append(("map", concurrency, num_cpus))
            made = actor()
            return SimpleNamespace(iter_rows=lambda: (made(item) for item in reversed(items)))

        return SimpleNamespace(map=mapped)


@pytest.fixture
def ray(monkeypatch):
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.data", fake.data)
    return fake


@pytest.fixture
def source(tmp_path):
    write_face(tmp_path / "raw" / "a.mp4", 1)
    (tmp_path / "raw" / "b.mp4").write_text("no video\n")
    return tmp_path / "raw"


def test_a_cluster_does_the_same_work(source, tmp_path, ray):
    units = read("folder", source).units
    (tmp_path / "work").mkdir()
    rows = {unit.name: row for unit, row in cluster.run(units, SETTINGS, tmp_path / "work", 3, "host:1")}
    assert ray.calls == [("init", "host:1"), ("map", 3, 1), ("shutdown",)]
    assert rows["b.mp4"]["reason"] == "unreadable"
    alone = work(units[0], SETTINGS, Workplace(tmp_path / "alone"))
    assert rows["a.mp4"]["clips"] == alone["clips"] and rows["a.mp4"]["key"] == alone["key"]
    for kind in ("clips", "frames"):
        ours = Workplace(tmp_path / "work").path(alone["key"], kind).read_bytes()
        assert ours == Workplace(tmp_path / "alone").path(alone["key"], kind).read_bytes()


def test_a_file_that_ends_its_actor_each_time_is_refused(source, tmp_path, ray):
    unit = read("folder", source).units[0]
    place = Workplace(tmp_path / "work")
    for _ in range(DEATHS):
        place.begin(unit.key(SETTINGS))  # and nothing after it
    ((_, row),) = cluster.run([unit], SETTINGS, place.folder, 1, "auto")
    assert (row["reason"], row["tries"]) == ("crashed_worker", DEATHS)


def test_the_command(source, tmp_path, ray, capsys):
    call = ["data", "prepare", "--dataset", "folder", "--source", str(source), "--out", str(tmp_path / "out")]
    call += ["--size", "32", "--min-frames", "8", "--workers", "2", "--ray", "local"]
    assert main(call) == 0 and ("map", 2, 1) in ray.calls
    assert (tmp_path / "out/records/manifest.json").exists()
    assert main([*call, "--shard", "0/2"]) == 2
    assert "--ray and --shard" in capsys.readouterr().err


def test_what_goes_wrong_is_one_line(source, tmp_path, ray, monkeypatch, capsys):
    def unreachable(**_):
        raise ConnectionError("no cluster\nat host:1")

    ray.init = unreachable
    units = read("folder", source).units
    with pytest.raises(pool.PoolError, match="^--ray host:1: at host:1$"):
        next(cluster.run(units, SETTINGS, tmp_path / "work", 1, "host:1"))
    monkeypatch.setitem(sys.modules, "ray", None)  # not installed
    call = ["data", "prepare", "--dataset", "folder", "--source", str(source), "--out", str(tmp_path / "out")]
    assert main([*call, "--ray", "auto"]) == 2
    assert "--ray auto: Ray is not there; run pip install 'talkbench[ray]'" in capsys.readouterr().err
