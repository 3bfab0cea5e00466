"""The Markdown pages as tests see them: console blocks, included files, links, option names, headings.

A command stands in a fenced `console` block behind `$ `; the lines below it, up to the next command, are from its
output, and `...` stands for lines left out. A comment before a block says what a test does with it:

    <!-- run -->            run it, in the page's temporary folder, after the page's earlier blocks
    <!-- run: slow -->      the same, in the tests marked slow
    <!-- file: PATH -->     the block below (of any language) is that file of the repository, to the character
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = tuple(sorted((ROOT / "docs").glob("*.md")))
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS)

_MARK = re.compile(r"<!--\s*(run|file)(?::\s*(.+?))?\s*-->")


@dataclass(frozen=True)
class Command:
    """One command of a console block.

    Attributes:
        text: the line behind `$ `, continued lines joined.
        output: lines shown below it.
    """

    text: str
    output: tuple[str, ...]

    @property
    def stages(self) -> list[list[str]]:
        """The arguments of each program of the pipe, without variables set before it and without redirection."""
        stages: list[list[str]] = [[]]
        for word in shlex.split(self.text, comments=True):
            if word == "|":
                stages.append([])
            elif word == ">":
                return stages
            elif stages[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
                stages[-1].append(word)
        return stages


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: the file it stands in.
        line: of its fence, from 1.
        language: after the fence.
        mark, argument: of the comment before it; "" without one.
    """

    page: Path
    line: int
    language: str
    text: str
    mark: str
    argument: str

    @property
    def commands(self) -> list[Command]:
        """The commands of a console block. Raises ValueError for a block that begins with something else."""
        found: list[tuple[str, list[str]]] = []
        joined = re.sub(r"\\\n\s*", "", self.text)
        for line in joined.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif not found:
                raise ValueError(f"{self.page.name}:{self.line}: a console block begins with '$ ', got {line!r}")
            else:
                found[-1][1].append(line)
        return [Command(text, tuple(output)) for text, output in found]


def blocks(page: Path) -> list[Block]:
    found, mark, argument = [], "", ""
    for token in _tokens(page):
        if token.type == "html_block" and (match := _MARK.fullmatch(token.content.strip())):
            mark, argument = match[1], match[2] or ""
            continue
        if token.type == "fence":
            line = token.map[0] + 1 if token.map else 0
            found.append(Block(page, line, token.info.strip(), token.content, mark, argument))
        mark, argument = "", ""
    return found


def links(page: Path) -> list[str]:
    """Targets of links and images, in order."""
    found = []
    for token in _inline(page):
        found += [str(value) for name, value in token.attrs.items() if name in ("href", "src")]
    return found


def inline_code(page: Path) -> list[str]:
    return [token.content for token in _inline(page) if token.type == "code_inline"]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    tokens = _tokens(page)
    titles = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def _inline(page: Path) -> list[Token]:
    return [child for token in _tokens(page) for child in token.children or ()]
