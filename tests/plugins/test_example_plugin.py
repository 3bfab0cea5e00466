"""A third party's package, installed by pip: every part it adds is listed, and runs with what is built in."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.conftest import make_photos

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, installed from its pyproject.toml without an index."""
    home = tmp_path_factory.mktemp("plugin")
    shutil.copytree(ROOT / "tests" / "plugins" / "example", home / "source")
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps",
         "--no-build-isolation", "--target", str(home / "site"), str(home / "source")],
        check=True, capture_output=True,
    )  # fmt: skip
    return home / "site"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("data"))


def program(
    installed: Path, home: Path, *arguments: object, of: str = "benchmarks"
) -> subprocess.CompletedProcess[str]:
    paths = f"{ROOT}{os.pathsep}{installed}"
    own = {"PYTHONPATH": paths, "SPAE_CACHE": str(home / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", of, *map(str, arguments)],
        cwd=home, env={**os.environ, **own}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def command_of_the_docs() -> list[str]:
    """The arguments of the command that docs/extending.md shows."""
    shown = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    line = next(line for line in shown.splitlines() if line.startswith("python -m benchmarks run --task same-or-not"))
    return shlex.split(line)[3:]


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def test_ls_shows_what_it_adds(installed: Path, tmp_path: Path) -> None:
    listed = json.loads(program(installed, tmp_path, "ls", "--json").stdout)
    names = {kind: {one["name"]: one["title"] for one in found} for kind, found in listed.items()}
    assert names["tasks"]["same-or-not"] == "Are two images of one class?"
    assert names["tokenizers"]["average-colour"] == "added by spae-example-plugin"
    assert names["backends"]["parrot:ARGUMENT"] == "added by spae-example-plugin"
    assert "reply-words" in names["metrics"]
    assert "loud: reply in capital letters" in program(installed, tmp_path, "ls", "backends", "--verbose").stdout


def test_every_part_runs_together(installed: Path, photos: Path, tmp_path: Path) -> None:
    done = program(
        installed, tmp_path, *command_of_the_docs(), "--data", photos, "--scoring", "exact,ranked", "--limit", 6,
        "--out", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = records(tmp_path / "out")
    assert len(found) == 12 and {one["model"] for one in found} == {"parrot-green"}
    colours = ("black", "white", "red", "green", "blue")
    first, second, last = str(found[0]["prompt"]).split("\n")
    assert first in [f"A: {c}" for c in colours] and second in [f"B: {c}" for c in colours]
    assert last == "Same (yes or no):"
    by_rule = {rule: [one for one in found if one["scoring"] == rule] for rule in ("ranked", "exact")}
    # The shorter text is "no", right for every other pair; the last word but one is "or", right for none.
    assert [one["scores"] for one in by_rule["ranked"]] == [{"accuracy": k % 2, "reply-words": 1} for k in range(6)]
    assert [one["scores"] for one in by_rule["exact"]] == [{"accuracy": 0, "reply-words": 1}] * 6
    # --llm-args loud=true reached the model.
    assert [one["reply"] for one in by_rule["exact"]] == [" OR\n"] * 6
    page = (tmp_path / "out" / "report.html").read_text()
    assert "same-or-not" in page and "reply-words" in page


def test_its_figure_is_in_the_report(installed: Path, photos: Path, tmp_path: Path) -> None:
    done = program(
        installed, tmp_path, "run", "--task", "same-or-not", "--tokenizer", "average-colour", "--llm", "parrot",
        "--data", photos, "--limit", 2, "--out", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "How long the prompts are." in (tmp_path / "out" / "report.html").read_text()
    assert (tmp_path / "out" / "figure-prompt-lengths.png").read_bytes().startswith(b"\x89PNG")


def test_its_recipe_is_listed_and_read(installed: Path, tmp_path: Path) -> None:
    listed = json.loads(program(installed, tmp_path, "recipes", "--json", of="spae").stdout)
    assert {"name": "short_spae", "title": "SPAE on the embedded pictograms, cut short."}.items() <= next(
        one for one in listed if one["name"] == "short_spae"
    ).items()
    shown = program(installed, tmp_path, "recipes", "short_spae", of="spae")
    assert shown.returncode == 0, shown.stderr
    assert "optimizer.steps" in shown.stdout and "280" in shown.stdout


def test_each_runs_with_what_is_built_in(installed: Path, photos: Path, tmp_path: Path) -> None:
    done = program(
        installed, tmp_path, "run", "--task", "miniimagenet-2way,same-or-not", "--tokenizer", "average-colour",
        "--llm", "parrot", "--data", photos, "--scoring", "ranked", "--limit", 2, "--out", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(records(tmp_path / "out")) == 7 * 2 + 2
    done = program(installed, tmp_path, "validate", "--task", "same-or-not", "--data", photos)
    assert (done.returncode, "feasible settings: pairs" in done.stdout) == (0, True)


def test_without_it_the_names_are_unknown(tmp_path: Path) -> None:
    done = program(tmp_path, tmp_path, "run", "--task", "same-or-not")
    assert done.returncode == 2 and "unknown task 'same-or-not'" in done.stderr
