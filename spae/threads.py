"""How many threads arithmetic gets: as many as there are cores that this process may use and others leave free.

With more threads than free cores, each operation waits for a thread that is not running: with other jobs on the
machine, a run took seven times as long with two threads as with one.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

VARIABLE = "OMP_NUM_THREADS"
"""A user's own choice, which wins. Every library of arithmetic here reads it when it is imported."""
CGROUPS = Path("/sys/fs/cgroup")


def set_threads() -> None:
    """Sets the number for this process and those it starts, unless the user has. To be called before torch is read."""
    if not os.environ.get(VARIABLE):
        os.environ[VARIABLE] = str(free_cores())
    # Threads that wait sleep rather than spin, so that a core taken by another job costs its share and no more.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def free_cores(root: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """At least 1: cores in this process's affinity, within its cgroups' quota, less those busy with other work.

    Args:
        root: of the cgroup file system.
        membership: the file that names this process's cgroups.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(root, membership)
    if quota is not None:
        cores = min(cores, max(1, math.floor(quota)))
    try:
        busy = round(os.getloadavg()[0])
    except OSError:  # a system without it
        busy = 0
    return max(1, cores - busy)


def _quota(root: Path, membership: Path) -> float | None:
    """Cores that the tightest of this process's cgroups grants; None for no bound. Both versions of cgroups."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # no Linux
        return None
    found: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        home = root / controllers if controllers else root
        here = home / path.lstrip("/")
        # In a container the path may be the host's, of which only the root is to be seen.
        for folder in (here, *here.parents):
            granted = _granted(folder)
            if granted is not None:
                found.append(granted)
            if folder == root:
                break
    return min(found, default=None)


def _granted(folder: Path) -> float | None:
    """The quota that one cgroup sets, in cores."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{part}_us").read_text().strip() for part in ("quota", "period"))
        return int(quota) / int(period) if quota not in ("max", "-1") else None
    except (OSError, ValueError, ZeroDivisionError):  # not a cgroup with a CPU controller
        return None
