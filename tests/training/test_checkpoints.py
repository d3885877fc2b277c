from talkbench.training.checkpoints import _differences


def test_what_may_change_between_two_sittings():
    old = {
        "train": {"steps": 4, "batch_size": 2},
        "stages": {"late": {"train": {"steps": 9, "batch_size": 3}}},
    }
    new = {
        "train": {"steps": 5, "batch_size": 2},
        "stages": {"late": {"train": {"steps": 8, "batch_size": 3}}},
    }
    assert _differences(old, new) == []
    new["stages"]["late"]["train"]["batch_size"] = 4
    assert _differences(old, new) == ["stages.late.train.batch_size (3, now 4)"]
    assert _differences(old, {**old, "seed": 1}) == ["seed (None, now 1)"]
