"""Units on a Ray cluster (the extra `ray`): Ray Data maps `work`, the function that local processes run too.

Every node must see the source folder and the output folder under the same paths: results are written by the workers, and
only the small rows come back.
"""

import importlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2

from talkbench.data.prepare.pool import ONE_THREAD, PoolError
from talkbench.data.prepare.settings import Settings, SettingsError
from talkbench.data.prepare.units import Unit
from talkbench.data.prepare.work import work
from talkbench.data.prepare.workplace import DEATHS, Workplace


class Worker:
    """An actor; it takes no arguments, since those can be lost before it is restarted. Each item brings all it needs."""

    def __init__(self):
        cv2.setNumThreads(1)

    def __call__(self, item: dict) -> dict:
        """{"work": (unit, settings, folder)} -> {"name", "row": JSON}.

        Nobody sees a process die here, so a unit that was begun three times and never ended is refused.
        """
        unit, settings, folder = item["work"]
        row = work(unit, settings, Workplace(folder), most_starts=DEATHS)
        return {"name": unit.name, "row": json.dumps(row)}


def run(
    units: Iterable[Unit], settings: Settings, folder: Path, workers: int, address: str
) -> Iterator[tuple[Unit, dict]]:
    """Works on units in `workers` actors of one processor each; yields (unit, row) as they finish, as `pool.run` does.

    Args:
        address: of the cluster ("auto": the one this machine belongs to; "local": a new one on this machine).

    Raises:
        SettingsError: Ray is not installed. PoolError: the cluster cannot be reached, or an error that is no fault of a file.
    """
    try:
        ray, data = importlib.import_module("ray"), importlib.import_module("ray.data")
    except ImportError as error:
        raise SettingsError(f"--ray {address}: Ray is not there; run pip install 'talkbench[ray]'") from error
    by_name = {unit.name: unit for unit in units}
    items = [{"work": (unit, settings, Path(folder).resolve())} for unit in by_name.values()]
    try:
        ray.init(address=address, runtime_env={"env_vars": dict.fromkeys(ONE_THREAD, "1")})
        # a block a file: what Ray repeats after a death is that file alone
        blocks = data.from_items(items, override_num_blocks=len(items))
        for done in blocks.map(Worker, concurrency=workers, num_cpus=1).iter_rows():
            yield by_name[done["name"]], json.loads(done["row"])
    except Exception as error:
        last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise PoolError(f"--ray {address}: {last[0]}") from error
    finally:
        ray.shutdown()
