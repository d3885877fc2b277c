"""A worker's job that dies; a module of its own, since worker processes import it."""

import os
import signal

from talkbench.data.prepare.work import work


def dies(unit, settings, place, opener, told):
    """Like `work`, but one file kills its process always and another once."""
    told(unit.key(settings))
    if unit.name == "killer.mp4" or (unit.name == "once.mp4" and not (place.folder / "died").exists()):
        (place.folder / "died").touch() if unit.name == "once.mp4" else None
        os.kill(os.getpid(), signal.SIGKILL)
    return work(unit, settings, place, opener)
