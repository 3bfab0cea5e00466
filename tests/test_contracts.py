"""The walls of the house: who may import whom, and how little the listing commands import."""

from __future__ import annotations

import logging
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("spae", "llm_backends", "tasks", "results", "benchmarks")
HEAVY = {
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pyarrow",
    "PIL",
    "pydantic",
    "transformers",
    "accelerate",
    "openai",
}
REGISTRIES = ("tasks.registry", "llm_backends.registry", "spae.data.registry", "spae.tokenizers.registry")
# One forbidden import for each contract: (file, line, id of the contract it must break).
BREACHES = (
    ("spae/errors.py", "import results.errors", "spae-alone"),
    ("llm_backends/errors.py", "from tasks import errors", "llm-backends-alone"),
    ("results/errors.py", "def late():\n    import spae.errors", "results-alone"),
    ("tasks/errors.py", "from spae.tokenizers import registry", "tasks-protocols"),
    ("benchmarks/errors.py", "import tests.conftest", "no-tests"),
    ("tasks/protocol.py", "from tasks import scoring", "tasks-layers"),
    ("benchmarks/plan.py", "from benchmarks import session", "benchmarks-layers"),
    ("benchmarks/commands/ls.py", "from benchmarks.commands import run", "benchmarks-commands-apart"),
    ("results/regression/baseline.py", "from results.regression import drift", "results-regression-layers"),
    ("spae/pyramid.py", "from spae.quantizers import saq", "spae-layers"),
    ("llm_backends/scripted/backend.py", "from llm_backends.openai import options", "llm-backends-layers"),
    ("llm_backends/cache/entry.py", "from llm_backends.cache import jsonl", "llm-backends-cache-layers"),
    ("spae/training/recipe.py", "from spae.training import trainer", "training-layers"),
    ("spae/data/spec.py", "from spae.data import opening", "spae-data-layers"),
    ("spae/data/datasets/samples.py", "from spae.data.datasets import hub", "spae-data-datasets-layers"),
    ("spae/tokenizers/config.py", "from spae.tokenizers import build", "tokenizers-layers"),
    ("results/record.py", "from results import store", "results-layers"),
    ("results/analysis/statistics.py", "from results.analysis import tables", "results-analysis-layers"),
    ("results/report/example.py", "from results.report import write", "results-report-layers"),
)


@pytest.fixture(autouse=True)
def _loggers_stay_enabled() -> Iterator[None]:
    """import-linter configures logging anew, which disables every logger there is, also for the tests that follow."""
    known = logging.root.manager.loggerDict
    before = {name: one.disabled for name, one in known.items() if isinstance(one, logging.Logger)}
    yield
    for name, disabled in before.items():
        logging.getLogger(name).disabled = disabled


def contracts() -> dict[str, str]:
    """Id -> name of every contract."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return {one["id"]: one["name"] for one in tomllib.load(file)["tool"]["importlinter"]["contracts"]}


def test_contracts_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    code = lint_imports(str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    said = capsys.readouterr().out
    assert code == 0, said
    assert f"{len(contracts())} kept, 0 broken" in said


@pytest.fixture(scope="module")
def said_of_a_broken_house(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a copy of this tree with every wall broken once."""
    copy = tmp_path_factory.mktemp("house")
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            target = copy / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    shutil.copy(ROOT / "pyproject.toml", copy)
    for file, line, _ in BREACHES:
        with (copy / file).open("a") as stream:
            stream.write(f"\n{line}\n")
    (copy / "spae" / "new_concept.py").write_text('"""A module that no layer names."""\n')
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run([*command, "--no-logo"], cwd=copy, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("breach", [pytest.param(one, id=one[2]) for one in BREACHES])
def test_a_breach_is_seen(said_of_a_broken_house: str, breach: tuple[str, str, str]) -> None:
    name = contracts()[breach[2]]
    assert re.search(rf"^{re.escape(name)} BROKEN", said_of_a_broken_house, re.MULTILINE), said_of_a_broken_house


def test_every_contract_is_shown_to_break() -> None:
    assert {one[2] for one in BREACHES} == set(contracts())


def test_a_module_without_a_layer_is_seen(said_of_a_broken_house: str) -> None:
    assert "new_concept" in said_of_a_broken_house


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def imported_by(statement: str) -> set[str]:
    """Top-level names of what a statement imports into a fresh interpreter."""
    said = python("-c", f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))")
    return {name.partition(".")[0] for name in said.stdout.split()}


@pytest.mark.parametrize("registry", REGISTRIES)
def test_registries_import_the_standard_library_only(registry: str) -> None:
    found = imported_by(f"import {registry}")
    assert registry.partition(".")[0] in found
    assert found - sys.stdlib_module_names - set(ROOMS) == set()


@pytest.mark.parametrize("module", ["benchmarks.cli", "benchmarks.commands.ls", "spae.cli"])
def test_command_lines_import_nothing_heavy(module: str) -> None:
    found = imported_by(f"import {module}")
    assert module.partition(".")[0] in found
    assert found & HEAVY == set()


COMMANDS = [
    pytest.param(("-m", "benchmarks", "--help"), id="benchmarks-help"),
    pytest.param(("-m", "benchmarks", "ls"), id="benchmarks-ls"),
    pytest.param(("-m", "benchmarks", "ls", "--json"), id="benchmarks-ls-json"),
    pytest.param(("-m", "benchmarks", "run", "--help"), id="benchmarks-run-help"),
    pytest.param(("-m", "benchmarks", "cache", "--help"), id="benchmarks-cache-help"),
    pytest.param(("-m", "benchmarks", "baseline", "--help"), id="benchmarks-baseline-help"),
    pytest.param(("-m", "benchmarks", "check", "--help"), id="benchmarks-check-help"),
    pytest.param(("-m", "spae", "--help"), id="spae-help"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_asking_what_there_is_imports_nothing_heavy(command: tuple[str, ...]) -> None:
    lines = python("-X", "importtime", *command).stderr.splitlines()
    found = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    assert "typer" in found  # the listing itself was read
    assert found & HEAVY == set()


def processor_seconds() -> float:
    """What this process' ended children have used so far: unlike wall time, little changed by a busy machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("command", COMMANDS)
def test_asking_what_there_is_takes_no_time(command: tuple[str, ...]) -> None:
    """0.1 s to 0.2 s is usual; the bound leaves room for slower machines."""
    seconds = []
    for _ in range(3):
        before = processor_seconds()
        python(*command)
        seconds.append(processor_seconds() - before)
    assert 0 < min(seconds) < 1.0, seconds
