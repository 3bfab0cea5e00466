"""How many threads: affinity, quota, load, and the user's own word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spae import threads
from spae.threads import free_cores, set_threads


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Eight cores without load."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.0, 0.0))
    return monkeypatch


def cgroup(root: Path, line: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        (root / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "fs" / name).write_text(text)
    (root / "cgroup").write_text(line)
    return root / "fs", root / "cgroup"


@pytest.mark.parametrize(
    ("line", "files", "cores"),
    [
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 8, id="no quota"),
        pytest.param("0::/\n", {"cpu.max": "250000 100000\n"}, 2, id="two and a half"),
        pytest.param("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3, id="of a parent"),
        pytest.param("0::/host/path\n", {"cpu.max": "50000 100000"}, 1, id="half a core, seen from a container"),
        pytest.param(
            "4:memory:/x\n3:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "400000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
            4,
            id="version 1",
        ),
        pytest.param("0::/\n", {"cpu.max": "nonsense"}, 8, id="unreadable"),
    ],
)
def test_cores_are_within_the_quota(
    machine: pytest.MonkeyPatch, tmp_path: Path, line: str, files: dict[str, str], cores: int
) -> None:
    assert free_cores(*cgroup(tmp_path, line, files)) == cores


@pytest.mark.parametrize(("load", "cores"), [(0.4, 8), (3.2, 5), (7.6, 1), (40.0, 1)])
def test_busy_cores_are_left_out(machine: pytest.MonkeyPatch, tmp_path: Path, load: float, cores: int) -> None:
    machine.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert free_cores(tmp_path, tmp_path / "none") == cores


def test_the_users_own_number_wins(machine: pytest.MonkeyPatch) -> None:
    machine.setenv(threads.VARIABLE, "5")
    machine.setenv("OMP_WAIT_POLICY", "ACTIVE")
    set_threads()
    assert (os.environ[threads.VARIABLE], os.environ["OMP_WAIT_POLICY"]) == ("5", "ACTIVE")
    machine.setenv(threads.VARIABLE, "")
    machine.setattr(threads, "free_cores", lambda: 3)
    set_threads()
    assert os.environ[threads.VARIABLE] == "3"
