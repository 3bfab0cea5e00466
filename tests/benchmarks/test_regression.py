"""A baseline of a scripted run: equal as it stands, and each kind of drift is named, with exit code 1."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

import tasks.fewshot.prompts
import tasks.scoring
from benchmarks.cli import run_command_line
from benchmarks.regression import check_baseline
from llm_backends.cache.jsonl import line_checksum
from results.regression.drift import Drift
from spae.canonical import canonical_json, sha256_json

from .conftest import ColourTokenizer, Command, make_photos, tokenizers_by_name

pytestmark = pytest.mark.usefixtures("home")
LIMIT = 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two tokenizers and all four rules, with the store and the images beside it.

    Its replies hold characters meant to do harm.
    """
    folder = tmp_path_factory.mktemp("finished")
    make_photos(folder)
    script = {"default": " Lion \x1b[31m<b>&\u202e\n", "default_likelihood": -3.0}
    (folder / "script.json").write_text(json.dumps(script))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.plan.open_tokenizer", tokenizers_by_name().__getitem__)
        patch.setattr("benchmarks.arguments.check_spec", lambda name: None)
        patch.setattr("benchmarks.reply_sources.COMMITTED", folder / "replies")
        patch.setenv("SPAE_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        options = [
            "--task", "miniimagenet-2way", "--tokenizer", "colours,flat", "--llm", "scripted:script.json",
            "--data", "photos", "--setting", "i1-s1-r0,i0-s1-r0", "--scoring", "exact,prefix,contains,ranked",
            "--limit", str(LIMIT), "--out", "run",
        ]  # fmt: skip
        for arguments in (["run", *options], ["baseline", "run", "--out", "baselines/small"]):
            patch.setattr(sys, "argv", ["benchmarks", *arguments])
            with pytest.raises(SystemExit, match=r"^0$"):
                run_command_line()
    return folder


@pytest.fixture
def run(finished: Path, home: Path, tokenizers: dict[str, ColourTokenizer]) -> Path:
    """A copy of that run, its store and its images, in the working folder."""
    shutil.copytree(finished, home, dirs_exist_ok=True)
    shutil.rmtree("baselines")
    return Path("run")


@pytest.fixture
def made(finished: Path, home: Path, tokenizers: dict[str, ColourTokenizer]) -> Path:
    """A copy of its baseline and its images; every store that it could be answered from instead is missing."""
    for name in ("baselines", "photos"):
        shutil.copytree(finished / name, home / name)
    return Path("baselines/small")


def drifts(folder: Path, kind: str) -> list[Drift]:
    return [drift for drift in check_baseline(folder).drifts if drift.kind == kind]


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(line + "\n" for line in change(path.read_text(encoding="utf-8").splitlines())))


def kinds(folder: Path) -> set[str]:
    return {drift.kind for drift in check_baseline(folder).drifts}


def test_unchanged_baseline_is_equal_without_socket_model_or_other_cache(
    command: Command, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: object, **more: object) -> None:
        raise AssertionError("a check opened what it may not")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr("benchmarks.session.reply_store", forbidden)
    monkeypatch.setattr("llm_backends.scripted.backend.ScriptedBackend.complete", forbidden)
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    code, out, err = command("check", made, "--junit", "out/check.xml")
    assert code == 0, out + err
    assert out.startswith("small: equal (64 records, 16 cells, 32 replies") and out.count("\n") == 1
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    assert not Path("cache").exists()
    root = ElementTree.parse("out/check.xml").getroot()
    cases = root.findall(".//testcase")
    assert (
        root.get("failures") == "0" and int(root.get("tests", 0)) == len(cases) >= 16 and not root.findall(".//failure")
    )


def test_baseline_is_the_run_without_what_a_repetition_changes(made: Path, finished: Path, command: Command) -> None:
    assert sorted(path.name for path in made.iterdir()) == [
        "baseline.json", "records.jsonl", "replies.jsonl", "run.json", "summary.json",
    ]  # fmt: skip
    for name in ("run.json", "records.jsonl"):
        assert (made / name).read_bytes() == (finished / "run" / name).read_bytes()
    cells = json.loads((finished / "run" / "summary.json").read_text())
    assert json.loads((made / "summary.json").read_text()) == [
        {name: value for name, value in cell.items() if name != "cached"} for cell in cells
    ]
    facts = json.loads((made / "baseline.json").read_text())
    assert {one["scoring"] for one in facts["scorers"]} == {"exact", "prefix", "contains", "ranked"}
    replies = (made / "replies.jsonl").read_text().splitlines()
    assert replies == sorted(replies) and len(replies) == 2 * 2 * 2 * LIMIT
    code, out, _ = command("report", made)
    assert code == 0 and out.startswith("#")


def test_equal_runs_give_equal_bytes(command: Command, run: Path) -> None:
    for name in ("one", "two"):
        assert command("baseline", run, "--out", name)[0] == 0
    assert command("baseline", run, "--out", "two")[0] == 0  # replaces an earlier one
    files = [sorted((path.name, path.read_bytes()) for path in Path(name).iterdir()) for name in ("one", "two")]
    assert files[0] == files[1] and len(files[0]) == 5
    assert not [path for path in Path().iterdir() if path.name.startswith((".two", ".one"))]


def test_changed_template_shows_the_prompts_diff(command: Command, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tasks.fewshot.prompts.classification
    monkeypatch.setattr("tasks.fewshot.task.classification", lambda *given: whole(*given).replace("Output:", "Answer:"))
    code, out, _ = command("check", made, "--junit", "check.xml")
    assert code == 1
    assert "│ prompt" in out and "-Output:" in out and "+Answer:" in out and "--- recorded" in out
    assert "Input: word" in out  # lines around the change
    found = check_baseline(made).drifts
    assert {drift.kind for drift in found} == {"prompt", "aggregate"}
    # All prompts of 2 settings, 2 tokenizers and 4 rules, each counted once.
    assert sum(drift.count for drift in found if drift.kind == "prompt") == 4 * 2 * 2 * LIMIT
    failures = ElementTree.parse("check.xml").getroot().findall(".//failure[@type='prompt']")
    assert failures and all("+Answer:" in (failure.text or "") for failure in failures)


def test_changed_space_at_the_end_of_a_prompt_is_seen(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tasks.fewshot.prompts.classification
    monkeypatch.setattr("tasks.fewshot.task.classification", lambda *given: whole(*given) + " ")
    assert "+Output: " in drifts(made, "prompt")[0].diff.split("\n")
    monkeypatch.setattr("tasks.fewshot.task.classification", lambda *given: whole(*given) + "\n")
    assert "+" in drifts(made, "prompt")[0].diff.split("\n")


def test_changed_parameter_is_a_missing_reply_that_names_the_parameter(
    command: Command, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.fewshot.task.MAX_NEW_TOKENS", {"gpt": 8, "palm": 4})
    code, out, _ = command("check", made)
    assert code == 1 and "missing reply" in out
    found = drifts(made, "missing reply")
    assert all("max_new_tokens (7 stored, 8 asked)" in drift.now for drift in found)
    assert sum(drift.count for drift in found) == 3 * 2 * 2 * LIMIT  # ranked scoring has no such parameter
    assert kinds(made) == {"missing reply", "aggregate"}


def test_edited_reply_is_named_with_the_records_that_read_it(command: Command, made: Path) -> None:
    """By its checksum; and if the checksum was made to fit, by file and records."""
    path = made / "replies.jsonl"
    whole = path.read_text()
    for mended in (False, True):

        def change(lines: list[str], mended: bool = mended) -> list[str]:
            at = next(i for i, line in enumerate(lines) if "max_new_tokens" in line)
            fields = json.loads(lines[at])
            fields["reply"]["text"] = " vase\n"
            if mended:
                fields["checksum"] = line_checksum(fields["key"], canonical_json(fields["reply"]))
            lines[at] = json.dumps(fields)
            return lines

        edit(path, change)
        code, out, _ = command("check", made)
        assert code == 1
        if mended:
            found = drifts(made, "reply")
            assert "edited replies" in out and len(found) == 3  # read by three scoring rules
            assert all("miniimagenet-2way" in drift.where and "vase" in drift.now for drift in found)
            assert not {"prediction", "scorer"} & kinds(made)
        else:
            assert "damaged reply" in out and kinds(made) == {"damaged reply"}
        path.write_text(whole)
    assert command("check", made)[0] == 0


def test_broken_line_is_a_damaged_reply(command: Command, made: Path) -> None:
    edit(made / "replies.jsonl", lambda lines: [lines[0][:-9], *lines[1:]])
    assert command("check", made)[0] == 1 and kinds(made) == {"damaged reply"}


def test_deleted_reply_is_named(command: Command, made: Path) -> None:
    lines = (made / "replies.jsonl").read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if "max_new_tokens" in line)
    edit(made / "replies.jsonl", lambda lines: [*lines[:number], *lines[number + 1 :]])
    code, out, _ = command("check", made)
    assert code == 1 and "missing reply" in out
    assert kinds(made) == {"edited replies", "missing reply", "aggregate"}
    assert sum(drift.count for drift in drifts(made, "missing reply")) == 3


def test_record_that_is_not_in_the_baseline_is_named(made: Path) -> None:
    edit(made / "records.jsonl", lambda lines: lines[1:])
    (drift,) = drifts(made, "record")
    assert drift.recorded == "none" and drift.count == 1


def test_changed_configuration_is_refused(command: Command, made: Path) -> None:
    path = made / "run.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    code, _, err = command("check", made)
    assert code == 2 and "changed after the run began" in err


def test_other_samples_from_the_same_seed_are_another_manifest(
    command: Command, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.fewshot.episodes

    class Shifted(tasks.fewshot.episodes.Stream):
        def __init__(self, key: str) -> None:
            super().__init__(key + "/another")

    monkeypatch.setattr("tasks.fewshot.episodes.Stream", Shifted)
    code, out, _ = command("check", made)
    assert code == 1 and "│ manifest" in out and len(drifts(made, "manifest")) == 1
    assert kinds(made) <= {"manifest", "sample", "aggregate"}


RULES = [
    pytest.param("exact", lambda line, answer: line == answer, id="exact-minds-case"),
    pytest.param("prefix", lambda line, answer: answer in line, id="prefix-anywhere"),
    pytest.param("contains", lambda line, answer: answer.casefold() in line.casefold(), id="contains-parts-of-words"),
]


@pytest.mark.parametrize(("name", "test"), RULES)
def test_changed_rule_is_named_and_no_other(
    command: Command, made: Path, monkeypatch: pytest.MonkeyPatch, name: str, test: tasks.scoring.Test
) -> None:
    from dataclasses import replace

    monkeypatch.setitem(tasks.scoring.RULES, name, replace(tasks.scoring.RULES[name], test=test))
    code, out, _ = command("check", made)
    assert code == 1 and "│ scorer" in out
    found = [drift for drift in check_baseline(made).drifts if drift.kind == "scorer"]
    assert found and all(drift.where.startswith(f"{name} of miniimagenet-2way") for drift in found)


def test_changed_ranking_is_named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tasks.scoring.score_ranked
    monkeypatch.setattr(
        "tasks.scoring.score_ranked",
        lambda values, answer, classes: whole(values[::-1], answer, classes[::-1]),  # the last of a tie wins
    )
    assert any("case: all alike" in drift.where for drift in drifts(made, "scorer"))
    # Every reply of the script is a tie, so predictions have drifted, too.
    assert all(drift.where.split()[4] == "ranked" for drift in drifts(made, "prediction"))
    assert drifts(made, "prediction") and not drifts(made, "reply")


def test_other_tokenizer_is_named(command: Command, made: Path, tokenizers: dict[str, ColourTokenizer]) -> None:
    tokenizers["colours"].fingerprint = "f" * 64
    (drift,) = check_baseline(made).drifts  # its words are the same, so nothing else differs
    assert (drift.kind, drift.where, drift.now) == ("tokenizer", "colours.fingerprint", "f" * 12)
    assert command("check", made)[0] == 1


def test_other_images_are_named(made: Path) -> None:
    Path("photos/ant/0.png").write_bytes(Path("photos/lion/1.png").read_bytes())
    assert len(drifts(made, "data")) == 1 and not drifts(made, "scorer")


def test_infeasible_prompt_needs_no_reply(
    command: Command, photos: Path, script: Callable[..., str], tokenizers: dict[str, ColourTokenizer]
) -> None:
    llm = script(context_length=50)
    given = (
        "run", "--task", "miniimagenet-2way", "--tokenizer", "colours", "--llm", llm, "--data", photos,
        "--setting", "i1-s1-r0,i1-s1-r1", "--scoring", "exact", "--limit", 3, "--out", "run",
    )  # fmt: skip
    assert command(*given)[0] == 0
    assert command("baseline", "run", "--out", "long")[0] == 0
    shutil.rmtree("cache")
    assert command("check", "long")[0] == 0
    records = [json.loads(line) for line in Path("long/records.jsonl").read_text().splitlines()]
    infeasible = [one for one in records if one["status"] == "infeasible"]
    assert len(infeasible) == 3 and all(one["reply"] is None and "takes 50" in one["explanation"] for one in infeasible)
    assert len(Path("long/replies.jsonl").read_text().splitlines()) == 3


def rename_setting(path: Path) -> None:
    """Renames a field of a run's configuration, with the hash that belongs to it."""
    config = json.loads(path.read_text())["config"]
    config["manner"] = config.pop("prompt_style")
    path.write_text(json.dumps({"format": 1, "sha256": sha256_json(config), "config": config}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda folder: shutil.rmtree(folder), "has none", id="no-folder"),
        pytest.param(lambda folder: (folder / "baseline.json").unlink(), "has none", id="no-facts"),
        pytest.param(lambda folder: (folder / "replies.jsonl").unlink(), "lacks replies.jsonl", id="no-replies"),
        pytest.param(lambda folder: (folder / "baseline.json").write_text("{"), "a whole baseline", id="broken-facts"),
        pytest.param(lambda folder: (folder / "baseline.json").write_text("[]"), "a whole baseline", id="no-object"),
        pytest.param(lambda folder: (folder / "summary.json").write_text("{}x"), "a whole baseline", id="broken-cells"),
        pytest.param(lambda folder: (folder / "records.jsonl").write_text("{}\n"), "line 1", id="broken-record"),
        pytest.param(lambda folder: (folder / "records.jsonl").write_text("{"), "cut short", id="torn-record"),
        pytest.param(lambda folder: (folder / "run.json").write_text("{}"), "not a run's", id="broken-config"),
        pytest.param(
            lambda folder: (folder / "baseline.json").write_text(
                (folder / "baseline.json").read_text().replace('"format": 1', '"format": 2')
            ),
            "format",
            id="other-format",
        ),
        pytest.param(lambda folder: rename_setting(folder / "run.json"), "run of this version", id="other-config"),
    ],
)
def test_misuse_is_one_line_and_2(command: Command, made: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(made)
    code, out, err = command("check", made)
    assert code == 2 and words in err and err.count("\n") == 1 and err.startswith("error: ") and not out


def test_baseline_of_an_unfinished_or_failed_run_is_refused(command: Command, run: Path) -> None:
    path = run / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    code, _, err = command("baseline", run, "--out", "b")
    assert code == 2 and "lacks 2 records" in err and not Path("b").exists()
    failed = json.loads(lines[-1]) | {"status": "failed", "scores": {}, "reply": None, "prediction": None}
    path.write_bytes(b"".join(lines[:-2]) + canonical_json(failed).encode() + b"\n")
    code, _, err = command("baseline", run, "--out", "b")
    assert code == 2 and "1 of 63 records failed" in err


def test_baseline_replaces_only_a_baseline(command: Command, run: Path) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("precious")
    code, _, err = command("baseline", run, "--out", "mine")
    assert code == 2 and "something else" in err and Path("mine/notes.txt").read_text() == "precious"


def test_baseline_of_other_images_than_the_runs_is_refused(command: Command, run: Path) -> None:
    Path("photos/ant/0.png").write_bytes(Path("photos/lion/1.png").read_bytes())
    code, _, err = command("baseline", run, "--out", "b")
    assert code == 2 and "manifest of miniimagenet-2way" in err and not Path("b").exists()


def test_reply_that_is_not_stored_any_more_is_named(command: Command, run: Path) -> None:
    shutil.rmtree("cache")
    code, _, err = command("baseline", run, "--out", "b")
    assert code == 2 and "is missing" in err and not Path("b").exists()
    assert not [path for path in Path().iterdir() if path.name.startswith(".b.")]
