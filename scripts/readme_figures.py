"""Writes the figures of README.md and docs/results.md from results/reports, so that none of them is typed by hand.

    python scripts/readme_figures.py            writes them
    python scripts/readme_figures.py --check    exit code 1 if one differs

A figure's place is found by the words around it: `SENTENCES` gives them, `{}` standing for each figure. So a sentence
that is rewritten is rewritten there, too; the script refuses one that it does not find exactly once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
REPORTS = ROOT / "results" / "reports"
COLUMNS = {"two": ("miniimagenet-2way", (1, 2)), "five": ("miniimagenet-5way", (1, 2))}
"""Of README's table: with task induction, one and three shots; setting 0 of a report is without induction."""
FIGURE = r"\d+(?:\.\d+)?(?: \(\d+\.\d–\d+\.\d\))?"


@cache
def report(name: str) -> str:
    """The text of a committed report."""
    return (REPORTS / f"{name}.md").read_text(encoding="utf-8")


def cells(name: str, begin: str, heading: str = "") -> list[str]:
    """The cells of the first row that begins so, after a heading, without bold marks."""
    text = report(name).partition(heading)[2] if heading else report(name)
    found = re.search(rf"^\| {re.escape(begin)} \|.*$", text, re.M)
    if found is None:
        raise SystemExit(f"{name}.md has no row {begin!r} after {heading!r}")
    return [cell.strip() for cell in found[0].replace("**", "").strip("|").split("|")]


def few_shot(name: str, tokenizer: str) -> Iterator[str]:
    """The four cells of README's table."""
    for task, settings in COLUMNS.values():
        row = cells(name, tokenizer, f"### {task}")
        yield from (row[4 + setting] for setting in settings)


def value(cell: str) -> str:
    """'52.0' of '52.0 (45.1–58.8)'."""
    return cell.partition(" ")[0]


def rounded(text: str, digits: int) -> str:
    """A figure with fewer digits."""
    return f"{float(text):.{digits}f}"


def error(layers: str, tokenizer: str, column: int = 5) -> str:
    """The reconstruction error of a tokenizer in few-shot.md; with column 6 its share of the mean image's."""
    return value(cells("few-shot", f"{tokenizer} | pictograms | 128 | {layers}")[column])


def captions(tokenizer: str) -> str:
    """CIDEr-D of the captions, times 100."""
    row = cells("captions-on-scenes", tokenizer, "### coco-captioning")
    names = cells("captions-on-scenes", "Tokenizer", "### coco-captioning")
    return value(row[names.index("CIDEr-D")])


def tests(name: str, setting: str) -> tuple[str, str]:
    """p and p after Holm of `spae-plain` against its shuffled images."""
    pair = "spae-plain 1-3 vs spae-plain (shuffled) 1-3 | SmolLM2-135M-Instruct; {} | " + setting
    rule = "rouge-l, gpt" if name.startswith("captions") else "ranked, gpt"
    row = cells(name, pair.format(rule))
    return row[-2], row[-1]


def lowest_p() -> str:
    """The least p after Holm among the settings of Real-Fast-VQA, to one decimal."""
    found = (tests("real-fast-vqa-on-scenes", f"shots={shots}")[1] for shots in (1, 3, 5))
    return rounded(min(found, key=float), 1)


def what_is_this(tokenizer: str) -> str:
    """Per cent right of the questions "what is this?"."""
    heading = "## By question type"
    row = cells("real-fast-vqa-on-scenes", f"{tokenizer} 1-3", heading)
    names = cells("real-fast-vqa-on-scenes", "Tokenizer", heading)
    return rounded(value(row[names.index("what")]), 0)


Sentence = tuple[str, Callable[[], Sequence[str]]]
SENTENCES: dict[str, tuple[Sentence, ...]] = {
    "README.md": (
        *(
            (f"| `{name}` | {concepts} | {{}} | {{}} | {{}} | {{}} |", lambda n=name, s=source: [*few_shot(s, n)])
            for name, concepts, source in (
                ("vqgan", "trained", "few-shot"), ("lqae-without-lm", "trained", "few-shot"),
                ("spae-plain", "trained", "few-shot"), ("spae", "trained", "few-shot"),
                ("spae", "new", "new-concepts"),
            )
        ),
        (
            "With `exact`, 5-way, 1 and 3 shots, `spae` has {} and {}:",
            lambda: [value(cell) for cell in cells("miniimagenet-5way-exact", "spae")[5:7]],
        ),
        (
            "alone reconstruct nothing (error {}, {} % of the mean image's; mean square on [-1, 1], 128 images); all "
            "four reach {}, `vqgan` {}.",
            lambda: [
                error("1-2", "spae"), error("1-2", "spae", 6), error("1-4", "spae"), error("1", "vqgan"),
            ],
        ),
        ("reconstructs worse than `vqgan`: {}.", lambda: [error("1-4", "spae-plain")]),
        (
            "bring CIDEr-D from {} to {} (p = {}; {} after Holm;",
            lambda: [
                *(captions(name) for name in ("spae-plain (shuffled)", "spae-plain")),
                *tests("captions-on-scenes", "shots=10, CIDEr-D"),
            ],
        ),
        (
            "protocol from {} to {} % (p = {}).",
            lambda: [
                *(value(cells("coco-qa-on-scenes", name)[4]) for name in ("spae-plain (shuffled)", "spae-plain")),
                tests("coco-qa-on-scenes", "ways=10")[0],
            ],
        ),
        ("shown in any setting (p at least {} after Holm);", lambda: [lowest_p()]),
        (
            '"what is this?" comes out higher ({} against {} %,',
            lambda: [what_is_this("spae-plain"), what_is_this("spae-plain (shuffled)")],
        ),
    ),
    "docs/results.md": (
        (
            "accuracy from {} to {} on average;",
            lambda: [
                value(cells("few-shot-plain", f"spae-plain | {layers}", "### miniimagenet-5way")[-1])
                for layers in ("1-2 : 5", "1-3 : 21")
            ],
        ),
    ),
}  # fmt: skip


def written(page: str, text: str) -> str:
    """A page's text with every figure as the reports have it."""
    for words, figures in SENTENCES[page]:
        # Words may be wrapped anywhere.
        parts = [r"\s+".join(map(re.escape, part.split(" "))) for part in words.split("{}")]
        found = list(re.finditer(rf"({FIGURE})".join(parts), text))
        if len(found) != 1:
            raise SystemExit(f"{page} must hold these words once, it does {len(found)} times: {words}")
        for number, figure in reversed([*enumerate(figures(), start=1)]):
            text = text[: found[0].start(number)] + figure + text[found[0].end(number) :]
    return text


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or compares them."""
    differs = False
    for page in SENTENCES:
        path = ROOT / page
        held = path.read_text(encoding="utf-8")
        right = written(page, held)
        if held != right and "--check" in arguments:
            print(f"{page}: a figure is not that of the reports: run python scripts/readme_figures.py")
            differs = True
        elif held != right:
            path.write_text(right, encoding="utf-8")
            print(f"{page} written")
    return int(differs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
