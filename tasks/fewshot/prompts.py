"""Prompts of few-shot classification, to the character (appendix of arXiv 2306.17842).

No prompt ends in a line break or a space: the model goes on right after `Output:` or `This is a`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.errors import TaskInputError
from tasks.fewshot.episodes import Episode
from tasks.protocol import Style
from tasks.settings import Setting

MAX_NEW_TOKENS: dict[Style, int] = {"gpt": 7, "palm": 4}
"""The paper's bounds on a class name's reply."""


def classification(episode: Episode, texts: Mapping[str, str], style: Style) -> str:
    """The prompt of an episode.

    Args:
        episode: what is shown and asked; its setting gives induction and repeats.
        texts: the SPAE string of each of its images, by image id; one line each, not empty.
        style: "gpt" or "palm".

    Raises:
        TaskInputError: the style is unknown; an image has no text; a text is empty or has a line break.
    """
    if style not in MAX_NEW_TOKENS:
        raise TaskInputError(
            f"prompt style must be one of {', '.join(MAX_NEW_TOKENS)}, got {style!r}: pass --prompt-style gpt"
        )
    setting = Setting.parse(episode.setting)
    shown = [(image_line(texts, image), label) for image, label in episode.support] * (setting.repeats + 1)
    query = image_line(texts, episode.query)
    write = _gpt if style == "gpt" else _palm
    return write(episode.classes, shown, query, setting)


def _gpt(classes: tuple[str, ...], shown: list[tuple[str, str]], query: str, setting: Setting) -> str:
    lines = []
    if setting.induction:
        # The paper prints a Python list, so Python prints it: single quotes, or double round a name with an apostrophe.
        lines.append(f"For each of the following input output pairs, output is one of {list(classes)!r}")
    for text, label in shown:
        lines += ["###", f"Input: {text}", f"Output: {label}"]
    lines += ["###", f"Input: {query}", "Output:"]
    return "\n".join(lines)


def _palm(classes: tuple[str, ...], shown: list[tuple[str, str]], query: str, setting: Setting) -> str:
    parts = []
    if setting.induction:
        parts.append(f"Answer with {_either(classes)}.")
    for text, label in shown:
        parts += [text, f"This is a {label}"]
    parts.append(query)
    if len(classes) == 5 and setting.shots in (3, 5):  # only there does the paper have it
        parts.append("What is this?")
    parts.append("This is a")
    return "\n\n".join(parts)


def _either(classes: tuple[str, ...]) -> str:
    """`"a" or "b"`, as the paper prints two; `"a", "b", "c", "d", or "e"` for five is our reading: it prints none.

    A name with a double quote in it stands as it is.
    """
    quoted = [f'"{name}"' for name in classes]
    if len(quoted) == 2:
        return " or ".join(quoted)
    return f"{', '.join(quoted[:-1])}, or {quoted[-1]}"


def image_line(texts: Mapping[str, str], image: str) -> str:
    """The SPAE string of an image, fit to stand in a line of a prompt. Raises TaskInputError as `classification`."""
    if image not in texts:
        raise TaskInputError(f"each image of a sample needs its SPAE string, {image!r} has none: encode it first")
    text = texts[image]
    if not text.strip():
        raise TaskInputError(f"a SPAE string must not be empty, {image!r} has {text!r}: choose other --layers")
    if text.splitlines() != [text]:
        raise TaskInputError(
            f"a SPAE string must not contain line breaks, {image!r} has {text!r}: drop such words from the vocabulary"
        )
    return text
