"""Every source of few-shot data from the command line to records, with a scripted model; and hostile ones."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.conftest import ColourTokenizer, Command
from tests.spae.data.published import Archive, huge_png, jpeg

COMMON = ("--tokenizer", "colours", "--scoring", "exact", "--limit", 4, "--out", "out")


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "unpacked"])
def test_archive(
    home: Path, tokenizers: dict[str, ColourTokenizer], command: Command, script: Callable[..., str], packed: bool
) -> None:
    made = Archive("open_ended_mi", ((1, 2), (3, 2)))
    data = made.pack(home) if packed else made.unpack(home)
    code, out, err = command(
        "run",
        "--task",
        "miniimagenet-2way",
        "--data",
        data,
        "--llm",
        script(),
        "--setting",
        "i1-s1-r0,i1-s3-r0",
        *COMMON,
    )
    assert (code, err) == (0, "") and "few-shot archive of 8 questions" in " ".join(out.split())
    found = records(home / "out")
    assert len(found) == 8 and {one["status"] for one in found} == {"scored"}
    # The script says " lion" to everything: right where the question's answer is a lion.
    rows = [row for pair in zip(made.rows[1, 2], made.rows[3, 2], strict=True) for row in pair]
    assert [one["scores"]["accuracy"] for one in found] == [float(row["answer"] == "lion") for row in rows]
    assert str(found[0]["prompt"]).startswith(
        "For each of the following input output pairs, output is one of ['lion', 'vase']\n###\nInput: word"
    )


def test_archive_without_the_setting(
    home: Path, tokenizers: dict[str, ColourTokenizer], command: Command, script: Callable[..., str]
) -> None:
    data = Archive(kinds=((1, 2), (3, 2))).pack(home)
    code, _, err = command("run", "--task", "miniimagenet-2way", "--data", data, "--llm", script(), *COMMON)
    assert code == 2 and err.count("\n") == 1
    assert "no questions of 5 shots and 2 ways" in err and "--setting i0-s1-r0,i1-s1-r0,i1-s3-r0" in err
    assert not (home / "out").exists()


def miniimagenet(where: Path) -> Path:
    """The csv form: three test classes of seven images, as WordNet ids."""
    (where / "images").mkdir(parents=True)
    with (where / "test.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["filename", "label"])
        for c, wnid in enumerate(("n02129165", "n04522168", "n02219486")):
            for i in range(7):
                name = f"{wnid}{i:08d}.jpg"
                (where / "images" / name).write_bytes(jpeg(10 * c + i))
                table.writerow([name, wnid])
    return where / "test.csv"


def test_csv_and_a_file_of_names(
    home: Path, tokenizers: dict[str, ColourTokenizer], command: Command, script: Callable[..., str]
) -> None:
    data = miniimagenet(home / "mini")
    (home / "names.txt").write_text("n02129165 big cat\nn04522168 jar\n")
    for spec, names in ((data, {"lion", "vase", "ant"}), (f"{data}?classes=names.txt", {"big cat", "jar", "ant"})):
        run = ("run", "--task", "miniimagenet-2way", "--data", spec, "--llm", script(), "--setting", "i1-s5-r0")
        code, _, err = command(*run, *COMMON[:-1], f"out-{len(names & {'jar'})}")
        assert (code, err) == (0, "")
        found = records(home / f"out-{len(names & {'jar'})}")
        assert {name for one in found for name in one["choices"]} <= names  # type: ignore[attr-defined]


def test_hugging_face_from_disk_and_parquet(
    home: Path, tokenizers: dict[str, ColourTokenizer], command: Command, script: Callable[..., str]
) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'spae-bench[data]'")
    features = datasets.Features({"image": datasets.Image(), "kind": datasets.ClassLabel(names=["ant", "sea_lion"])})
    rows = {"image": [{"bytes": jpeg(i), "path": None} for i in range(14)], "kind": [i % 2 for i in range(14)]}
    made = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": made.select([0, 1]), "test": made}).save_to_disk(str(home / "saved"))
    (home / "files").mkdir()
    made.to_parquet(str(home / "files" / "test-00000-of-00001.parquet"))
    manifests = []
    for number, spec in enumerate(("saved", "files", "hf:saved?split=test&image=image&label=kind")):
        run = ("run", "--task", "miniimagenet-2way", "--data", spec, "--llm", script(), "--setting", "i1-s5-r0")
        code, _, err = command(*run, *COMMON[:-1], f"out{number}")
        assert code == 0, err
        manifests.append(json.loads((home / f"out{number}" / "episodes-miniimagenet-2way.json").read_text()))
        assert set(records(home / f"out{number}")[0]["choices"]) == {"ant", "sea lion"}  # type: ignore[call-overload]
    # Where the images lie does not matter; how the user calls them is written down.
    assert len({one["data_fingerprint"] for one in manifests}) == 1
    assert [one["data"] for one in manifests] == ["saved", "files", "hf:saved?split=test&image=image&label=kind"]
    for spec, message in (
        ("hf:saved?split=val", "has no split 'val'"),
        ("hf:saved?label=nothing", "no column 'nothing'"),
        ("hf:saved?colour=red", "option of hf:"),
    ):
        code, _, err = command("run", "--task", "miniimagenet-2way", "--data", spec, "--llm", script(), *COMMON)
        assert code == 2 and message in err and "Traceback" not in err


def test_saved_episodes(
    home: Path, photos: Path, tokenizers: dict[str, ColourTokenizer], command: Command, script: Callable[..., str]
) -> None:
    common = ("run", "--task", "miniimagenet-2way", "--data", "photos", "--scoring", "exact", "--layers", "1")
    done = command(*common, "--llm", script(), "--tokenizer", "colours", "--limit", 6, "--seed", 5, "--out", "first")
    assert done[0] == 0
    file = home / "first" / "episodes-miniimagenet-2way.json"
    again = (*common, "--llm", script("other", default=" vase\n"), "--tokenizer", "flat", "--manifest", file)
    assert command(*again, "--out", "second")[0] == 0
    assert (home / "second" / file.name).read_bytes() == file.read_bytes()
    first, second = records(home / "first"), records(home / "second")
    assert [one["sample_fingerprint"] for one in first] == [one["sample_fingerprint"] for one in second]
    assert {one["seed"] for one in second} == {5}
    # A part of it is what the command that draws the part writes, byte for byte.
    part = ("--setting", "i1-s3-r0", "--limit", 2)
    assert command(*again, *part, "--out", "third")[0] == 0
    assert command(*again[:-2], "--seed", 5, *part, "--out", "fourth")[0] == 0
    for name in (file.name, "records.jsonl", "run.json"):
        assert (home / "third" / name).read_bytes() == (home / "fourth" / name).read_bytes()
    for more, message in (
        (("--seed", 6), "is of seed 5, got --seed 6"),
        (("--limit", 7), "has 6 samples of each setting, got --limit 7"),
        (("--data", "pictograms"), "every image of a manifest must be in the data"),
        (("--task", "miniimagenet-5way"), "is of 'miniimagenet-2way', the run is of miniimagenet-5way"),
        (("--manifest", file), "takes one file a task"),
        (
            ("--task", "miniimagenet-2way,miniimagenet-5way"),
            "needs a file for each task, got none for miniimagenet-5way",
        ),
    ):
        code, _, err = command(*again, *more, "--out", "none")
        assert code == 2 and message in err and err.count("\n") == 1
        assert not (home / "none").exists()


def test_sweep(
    home: Path, photos: Path, tokenizers: dict[str, ColourTokenizer], command: Command, script: Callable[..., str]
) -> None:
    code, _, _ = command(
        "run", "--task", "miniimagenet-5way", "--data", "photos", "--llm", script(), "--layers", "sweep", "--limit", 5,
        "--setting", "i1-s1-r0", "--tokenizer", "colours,flat", "--scoring", "exact", "--out", "out",
    )  # fmt: skip
    assert code == 0
    assert [(one["tokenizer"], one["layers"]) for one in records(home / "out")[::5]] == [
        ("colours", "1"), ("colours", "1-2"), ("flat", "1"),
    ]  # fmt: skip
    page = (home / "out" / "report.html").read_text()
    assert '<h2 id="layers">' in page and "colours by layers" in page and "not comparable" in page
    text = (home / "out" / "report.md").read_text()
    assert (
        "## Layers" in text and text.count("| SPAE (PaLM) | 1-6 : 597 |") == 2
    )  # in the whole table, and in the sweep's


def test_a_prompt_that_does_not_fit_is_a_dash(
    home: Path, photos: Path, tokenizers: dict[str, ColourTokenizer], command: Command, script: Callable[..., str]
) -> None:
    """Five ways and five shots are 26 images of five words, and as many labels: over 200 words; one shot is under."""
    code, _, _ = command(
        "run", "--task", "miniimagenet-5way", "--data", "photos", "--llm", script(), "--layers", "1-2", "--limit", 3,
        "--setting", "i1-s1-r0,i1-s5-r0", "--scoring", "exact", "--tokenizer", "colours", "--context-length", 200,
        "--out", "out",
    )  # fmt: skip
    assert code == 0
    found = records(home / "out")
    by_setting = {one["setting"]: {two["status"] for two in found if two["setting"] == one["setting"]} for one in found}
    assert by_setting == {"i1-s1-r0": {"scored"}, "i1-s5-r0": {"infeasible"}}
    long = next(one for one in found if one["status"] == "infeasible")
    assert long["scores"] == {} and long["reply"] is None and len(str(long["prompt"]).split()) + 7 > 200
    assert "takes 200: use fewer shots or layers" in str(long["explanation"])
    row = next(line for line in (home / "out" / "report.md").read_text().splitlines() if line.startswith("| colours |"))
    assert row.split(" | ")[7] == "-"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda a: a.odd.append((_info("../evil.jpg", 1), b"x")), "must not lead out of it", id="parent"),
        pytest.param(lambda a: a.odd.append((_info("/evil.jpg", 1), b"x")), "must not lead out of it", id="absolute"),
        pytest.param(lambda a: a.odd.append(_link("real_name_mi/x.jpg")), "is a link to '/etc/passwd'", id="symlink"),
        pytest.param(lambda a: a.files.popitem(), "which is not in the archive", id="missing"),
        pytest.param(lambda a: a.rows[1, 2][1].pop("image_2"), "must have image_1 to image_2", id="count"),
        pytest.param(lambda a: a.rows[1, 2][1].update(question_id=0), "ids must differ", id="id-twice"),
        pytest.param(
            lambda a: a.files.update(dict.fromkeys(a.files, huge_png())), "pixels, at most", id="100-megapixel"
        ),
    ],
)
def test_hostile_archives(
    home: Path,
    tokenizers: dict[str, ColourTokenizer],
    command: Command,
    script: Callable[..., str],
    spoil: Callable[[Archive], object],
    message: str,
) -> None:
    made = Archive()
    spoil(made)
    data, llm = made.pack(home), script()
    before = sorted(path for path in home.rglob("*") if "cache" not in path.parts)
    setting = ("--setting", "i1-s1-r0")
    code, _, err = command("run", "--task", "miniimagenet-2way", "--data", data, "--llm", llm, *setting, *COMMON)
    assert code == 2 and message in err and err.count("\n") == 1
    code, _, err = command("validate", "--task", "miniimagenet-2way", "--data", data)
    assert code == 2 and message in err
    assert sorted(path for path in home.rglob("*") if "cache" not in path.parts) == before
    assert not (home.parent / "evil.jpg").exists() and not Path("/evil.jpg").exists()


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def _link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info
