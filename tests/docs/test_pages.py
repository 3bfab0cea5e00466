"""What the pages point to is there, code shown as a file is that file, and figures quoted are those of the reports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, blocks, links

PAGE_IDS = [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_relative_links_and_images_resolve(page: Path) -> None:
    missing = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(ROOT) or (anchor and anchor not in anchors(target)):
            missing.append(link)
    assert not missing


def test_every_page_is_linked_from_the_readme() -> None:
    named = {link.partition("#")[0] for link in links(ROOT / "README.md")}
    assert {f"docs/{page.name}" for page in DOCS} <= named


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_code_shown_as_a_file_is_that_file(page: Path) -> None:
    for block in blocks(page):
        if block.mark == "file":
            assert block.text == (ROOT / block.argument).read_text(encoding="utf-8"), f"{page.name}:{block.line}"


def test_the_readme_is_under_200_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


FIGURE = re.compile(r"\d+\.\d \(\d+\.\d–\d+\.\d\)")
COLUMNS = {"2-way, 1 shot": ("2way", 1), "2-way, 3 shots": ("2way", 2),
           "5-way, 1 shot": ("5way", 1), "5-way, 3 shots": ("5way", 2)}  # fmt: skip


def reported(report: str, tokenizer: str, ways: str, setting: int) -> str:
    """A cell of a report: setting 0 is without induction, 1 has one shot, 2 has three."""
    text = (ROOT / "results" / "reports" / report).read_text(encoding="utf-8")
    section = text.split(f"### miniimagenet-{ways}", 1)[1]
    row = re.search(rf"^\| {tokenizer} \| .*$", section, re.M)
    assert row
    return row[0].replace("*", "").split("|")[5 + setting].strip()


def test_the_demo_table_of_the_readme_is_that_of_the_report() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    report = (ROOT / "results" / "reports" / "miniimagenet-5way.md").read_text(encoding="utf-8")
    for tokenizer in ("vqgan 1 : 16", "spae 1-2 : 5"):
        name, _, layers = tokenizer.partition(" ")
        row = re.search(rf"^\| {name} \| {layers} \| .*$", report, re.M)
        shown = re.search(rf"^ {tokenizer} (.*)\n SmolLM2-135M-Instruct; ranked, gpt (.*)$", text, re.M)
        assert row and shown
        cells = re.findall(r"(\d+\.\d) \((\d+\.\d)–(\d+\.\d)\)", row[0].replace("*", ""))
        assert shown[1].split() == [value for value, _, _ in cells]
        ends = [float(end) for interval in shown[2].split() for end in interval.split("–")]
        # The report's ends are rounded already, to one decimal.
        assert ends == pytest.approx([float(end) for _, *both in cells for end in both], abs=0.551)
        assert len(cells) == 8


def results_table() -> list[list[str]]:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if "2-way, 1 shot" in line)
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("*", "") for cell in line.strip("|").split("|")])
    return rows


def test_figures_of_the_readme_are_those_of_the_reports() -> None:
    head, _, *rows = results_table()
    checked = 0
    for row in rows:
        report = "new-concepts.md" if "new" in row[1] else "few-shot.md"
        for name, cell in zip(head, row, strict=True):
            if name in COLUMNS and FIGURE.fullmatch(cell):
                assert cell == reported(report, row[0].strip("`"), *COLUMNS[name]), (row[0], name)
                checked += 1
    assert checked == 5 * len(COLUMNS)
