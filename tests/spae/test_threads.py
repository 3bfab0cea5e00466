"""Threads: the cores that there are now, whatever the machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spae import threads
from spae.threads import SMALL_PIXELS, available_cores, small_work, use_available_cores

IDLE = {"proc/loadavg": "0.00 0.10 0.20 1/300 4242"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """machine(processors, files) is the root of one whose processors may all be used."""

    def make(processors: int, files: dict[str, str]) -> Path:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: processors)
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text + "\n")
        return tmp_path

    return make


def siblings(*pairs: str) -> dict[str, str]:
    return {f"sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list": pair for i, pair in enumerate(pairs)}


@pytest.mark.parametrize(
    ("processors", "files", "expected"),
    [
        pytest.param(8, IDLE, 8, id="idle"),
        pytest.param(4, IDLE | siblings("0,2", "1,3", "0,2", "1,3"), 2, id="two threads a core"),
        pytest.param(8, {"proc/loadavg": "3.10 3.00 3.00 4/300 1"}, 5, id="three busy processes"),
        pytest.param(2, {"proc/loadavg": "7.74 7.54 6.38 9/300 1"}, 1, id="more work than cores"),
        pytest.param(8, {"proc/loadavg": "6.00 3.00 1.00 1/300 1"}, 8, id="a job that has just ended"),
        pytest.param(8, {"proc/loadavg": "0.10 0.10 0.10 7/300 1"}, 8, id="a moment's work"),
        pytest.param(8, IDLE | {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "300000 100000"}, 3,
                     id="quota"),
        pytest.param(8, IDLE | {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "max 100000",
                                "sys/fs/cgroup/a/cpu.max": "250000 100000"}, 2, id="quota of the group around it"),
        pytest.param(8, IDLE | {"proc/self/cgroup": "0::/gone", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1,
                     id="half a core, in a container"),
        pytest.param(8, IDLE | {"proc/self/cgroup": "4:cpu,cpuacct:/x\n3:memory:/y",
                                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "400000",
                                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000"}, 4, id="control groups, v1"),
        pytest.param(8, IDLE | {"proc/self/cgroup": "1:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8, id="no quota"),
        pytest.param(8, IDLE | {"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "x"}, 8, id="nonsense"),
    ],
)  # fmt: skip
def test_cores_that_are_available(machine, processors: int, files: dict[str, str], expected: int) -> None:
    assert available_cores(machine(processors, files)) == expected


def test_processors_that_may_not_be_used_do_not_count(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine(16, IDLE)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert available_cores(root) == 2


def test_without_these_files_the_load_is_the_systems(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (2.6, 0, 0))
    assert available_cores(machine(8, {})) == 5


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_the_users_number_wins(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(threads, "available_cores", lambda: 7)
    own = {name: "3"}
    use_available_cores(own)
    assert own == {name: "3"}
    empty: dict[str, str] = {}
    use_available_cores(empty)
    assert empty == {"OMP_NUM_THREADS": "7"}


def test_both_command_lines_set_it_before_torch_is_imported() -> None:
    code = (
        "import os, sys, runpy; import spae.threads as t; t.available_cores = lambda: 7; sys.argv = ['x', '--help']\n"
        "try: runpy.run_module('{}', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules; print(os.environ['OMP_NUM_THREADS'])"
    )
    environment = {name: value for name, value in os.environ.items() if name not in threads.VARIABLES}
    for program in ("spae", "benchmarks"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(program)], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "7", program


def test_small_work_has_one_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with small_work(SMALL_PIXELS):
            assert torch.get_num_threads() == 1
        with small_work(SMALL_PIXELS + 1):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
