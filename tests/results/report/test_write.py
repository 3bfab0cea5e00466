"""The page: complete, alone, escaped; and opened in a browser where there is one."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from results.analysis.aggregate import Cell
from results.errors import RecordError, ReportError
from results.report.example import DataNote, Examples, load_examples, save_examples
from results.report.write import render, write_reports
from results.store import RunStore

HOSTILE = "</pre></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}\n\u202e\x1b[31m"


def style_sha256(text):
    """What a browser compares with the policy: over the very text between the tags."""
    [style] = re.findall(r"<style>(.*?)</style>", text, re.S)
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


class Page(HTMLParser):
    """Tags, attributes and ids of a page; fails where tags do not nest."""

    VOID = frozenset({"meta", "img", "br", "circle", "line", "rect", "path", "input", "hr", "link"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(text)
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def hostile_run(tmp_path, key, of, show):
    folder = tmp_path / "hostile"
    store = RunStore.create(folder, {"note": HOSTILE, HOSTILE: 1}, resume=False)
    names = dict.fromkeys(
        ("task", "setting", "tokenizer", "model", "data", "prompt_style", "scoring", "dtype"), HOSTILE
    )
    for tokenizer in (HOSTILE, HOSTILE + " spae"):
        cell = key(**{**names, "tokenizer": tokenizer, "tokenizer_fingerprint": HOSTILE})
        store.append([
            of(cell, 0, target=HOSTILE, reply=HOSTILE, prompt=HOSTILE),
            of(cell, 1, status="failed", scores={}, reply=None, prediction=None, explanation=HOSTILE),
        ])  # fmt: skip
    shown = show("spae")
    layer = shown.images[0].pyramid[0].model_copy(update={"words": (HOSTILE,)})
    images = tuple(p.model_copy(update={"label": HOSTILE, "pyramid": (layer,)}) for p in shown.images)
    texts = set(type(shown).model_fields) - {
        "layers", "images", "status", "scores", "shuffled", "references", "generated",
    }  # fmt: skip
    fields = dict.fromkeys(texts, HOSTILE)
    example = shown.model_copy(update={**fields, "references": (HOSTILE, HOSTILE), "layers": "1", "images": images})
    save_examples(folder, Examples(samples=(example,), data=(DataNote(name=HOSTILE, title=HOSTILE, embedded=True),)))
    return folder


def test_hostile_text_stays_text(hostile_run):
    text = render(hostile_run, "html")
    page = Page(text)
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert not any(
        name.startswith("on") or (name in {"href", "action"} and not value.startswith("#"))
        for _, name, value in page.attributes
    )
    assert all(value.startswith("data:image/png;base64,") for _, name, value in page.attributes if name == "src")
    assert "{{7*7}}" in "".join(page.text), "templates in text are not run"
    assert "\u202e" not in text and "\x1b" not in text and "⟨U+202E⟩" in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 30


def test_hostile_text_stays_text_in_markdown_and_csv(hostile_run):
    markdown = render(hostile_run, "md")
    assert "<script" not in markdown and "<img" not in markdown and "\u202e" not in markdown
    widths = [len(re.sub(r"\\\|", "", line).split("|")) for line in markdown.splitlines() if line.startswith("|")]
    assert set(widths) <= {7, 11}, "no table has a line that is too long"
    assert "\u202e" not in render(hostile_run, "csv")


def test_the_page_stands_alone(fake_run):
    text = render(fake_run, "html")
    page = Page(text)
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in (value or ""))
    style = f"style-src 'sha256-{style_sha256(text)}'"
    assert policy == f"default-src 'none'; {style}; img-src data:; base-uri 'none'; form-action 'none'"
    assert not any(name == "style" for _, name, _ in page.attributes) and page.tags.count("style") == 1
    assert (
        "http://" not in text
        and "https://" not in text
        and not re.search(r"url\((?!#)", text)
        and "@import" not in text
    )
    targets = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for _, name, value in page.attributes if name == "href"} <= targets
    assert page.tags.count("h1") == 1 and all(
        alt for tag, name, alt in page.attributes if (tag, name) == ("img", "alt")
    )
    assert page.tags.count("img") == sum(name == "alt" for _, name, _ in page.attributes) == 4 * 6 + 4 * 5 + 4 * 2


def test_the_page_holds_its_key_statements(fake_run):
    text = "".join(Page(render(fake_run, "html")).text)
    for phrase in ("Not mini-ImageNet.", "NOT mini-ImageNet", "not comparable with the rows above", "McNemar", "chance",
                   "SmolLM2-135M-Instruct", "seed 0", "v" * 64, "✓ right", "✗ wrong", "– not scored: empty", "0.0688",
                   "For each of the following input output pairs"):  # fmt: skip
        assert phrase in text, phrase


def test_pyramids_are_drawn_layer_by_layer(fake_run):
    text = render(fake_run, "html")
    takes = text.split('<section class="take">')[1:]
    spae = next(take for take in takes if take.startswith('\n<div class="head"><h4>spae'))
    layers = re.findall(r'class="layer w(\d)( unseen)?"', spae)
    assert layers == [("1", ""), ("2", ""), ("4", " unseen"), ("4", " unseen")] + [("1", ""), ("2", "")] * 5
    assert spae.count("<span title=") == (1 + 4 + 16 + 16) + 5 * 5


def test_reports_are_made_from_the_folder_alone_and_are_always_the_same(fake_run, tmp_path):
    paths = write_reports(fake_run).paths
    assert [path.name for path in paths] == [
        "summary.json", "comparisons.json", "report.md", "report.html", "figure-settings-1-1.png",
        "report.json",
    ]  # fmt: skip
    first = [path.read_bytes() for path in paths]
    shutil.copytree(fake_run, tmp_path / "moved")
    assert [path.read_bytes() for path in write_reports(tmp_path / "moved").paths] == first
    assert render(fake_run, "html").encode() == first[3] and str(tmp_path).encode() not in first[3]


def test_summary_is_exactly_a_list_of_cells(fake_run):
    write_reports(fake_run)
    cells = json.loads((fake_run / "summary.json").read_text())
    assert len(cells) == 15 and [Cell.model_validate(cell) for cell in cells]


def test_a_report_without_examples_is_still_a_report(fake_run):
    (fake_run / "examples.json").unlink()
    page = Page(render(fake_run, "html"))
    assert "img" not in page.tags and "Asked about" not in "".join(page.text)
    assert "No examples" in render(fake_run, "md")


def test_a_torn_line_is_reported(fake_run):
    with (fake_run / "records.jsonl").open("ab") as file:
        file.write(b'{"target":')
    assert "cut short" in render(fake_run, "html") and "cut short" in render(fake_run, "md")


def test_bad_requests_are_one_line(fake_run, tmp_path):
    with pytest.raises(ReportError, match="html, md or csv"):
        render(fake_run, "pdf")  # type: ignore[arg-type]
    with pytest.raises(RecordError, match="pass the --out of a run"):
        render(tmp_path, "html")


@pytest.mark.slow
def test_a_browser_shows_it_without_complaint_and_without_overflow(fake_run, hostile_run):
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no Chromium on this machine")
    for folder in (fake_run, hostile_run):
        write_reports(folder)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for folder in (fake_run, hostile_run):
            for width in (1280, 400):
                page = browser.new_page(viewport={"width": width, "height": 900})
                said: list[str] = []
                page.on("console", lambda message, said=said: said.append(message.text))
                page.on("dialog", lambda dialog, said=said: (said.append(dialog.message), dialog.dismiss()))
                page.goto((folder / "report.html").as_uri())
                assert said == []
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.evaluate("[...document.images].every(image => image.naturalWidth === 32)")
        browser.close()


def test_book_of_the_fixture_is_real(fake_run):
    assert load_examples(fake_run).reconstructions[0].count == 300
