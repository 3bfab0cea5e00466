"""How many threads torch computes with: as many as there are cores for it now. Standard library only.

torch takes every core it may use. With other jobs on them, its threads wait for each other at every operation: beside
two busy processes on two cores, encoding one image takes 344 ms with two threads and 63 ms with one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""What a user may set; either one wins over what is found here."""
SMALL_PIXELS = 8 * 32 * 32
"""Of a batch of images: up to here, a second thread costs more than it saves."""


def use_available_cores(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets the number of threads of torch and of processes that this one starts; call it before torch is imported."""
    if not any(environment.get(name) for name in VARIABLES):
        environment["OMP_NUM_THREADS"] = str(available_cores())


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use and that no other process keeps busy; at least 1.

    Args:
        root: of the file system that the system's own files are read from.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    found = [_physical(root, allowed), (os.cpu_count() or 1) - _busy(root)]
    quota = _quota(root)
    if quota is not None:
        found.append(int(quota))
    return max(1, min(found))


@contextmanager
def small_work(pixels: int) -> Iterator[None]:
    """One thread for a batch of so few pixels; torch's own number for a larger one."""
    import torch

    before = torch.get_num_threads()
    if pixels > SMALL_PIXELS or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _physical(root: Path, allowed: range | list[int]) -> int:
    """Cores among these processors: two threads of one core compute no faster than one."""
    cores = set()
    for number in allowed:
        place = root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        cores.add(_text(place) or f"only {number}")
    return len(cores)


def _busy(root: Path) -> int:
    """Processes beside this one that want a core: those of the last minute, if they still do at this moment."""
    try:
        minute, _, _, running, *_ = _text(root / "proc/loadavg").split()
        return max(0, min(round(float(minute)), int(running.partition("/")[0]) - 1))
    except ValueError:  # no such file, as on macOS
        with suppress(OSError, AttributeError):
            return round(os.getloadavg()[0])
        return 0


def _quota(root: Path) -> float | None:
    """Cores' worth of time that the control groups of this process grant it; None without a limit."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            found += [_limit(_text(place / "cpu.max")) for place in _upwards(root / "sys/fs/cgroup", path)]
        elif "cpu" in controllers.split(","):
            for place in _upwards(root / "sys/fs/cgroup" / controllers, path):
                quota, period = (_text(place / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
                found.append(_limit(f"{quota} {period}"))
    return min((one for one in found if one is not None), default=None)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The folder of a control group and of those it is in; inside a container only the outermost may be there."""
    place = mount / path.strip("/")
    yield place
    while place != mount and mount in place.parents:
        place = place.parent
        yield place


def _limit(text: str) -> float | None:
    """'150000 100000' as 1.5; None for 'max' and -1."""
    with suppress(ValueError, ZeroDivisionError):
        quota, period = map(float, text.split())
        return quota / period if quota > 0 else None
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
