"""Captions and questions of a scene: five captions, and questions whose answers are known.

Captions are sentences from templates: what there is, how many, where, and in which colour. All questions are asked in
the same words of every scene, so that examples with other answers can stand beside each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spae.data.embedded.scene_layout import Box

WHAT = "What is this?"
HOW_MANY = "How many things are there?"
WHICH_SIDE = "On which side is it?"
WHICH_COLOUR = "What colour is it?"
WHERE = {
    "left": "What is on the left?",
    "right": "What is on the right?",
    "top": "What is at the top?",
    "bottom": "What is at the bottom?",
}
NUMBERS = ("one", "two", "three")

# By sound, where the first letter misleads.
_AN = frozenset({"hourglass"})
_A = frozenset({"unicorn", "ewe"})


@dataclass(frozen=True)
class Thing:
    """One image of a scene.

    Attributes:
        name: one lower-case word.
        box: where it stands.
        colour: its main colour; None if it has none.
    """

    name: str
    box: Box
    colour: str | None


def with_article(name: str) -> str:
    """'a lion', 'an owl', 'an hourglass'."""
    vowel = (name[0] in "aeiou" and name not in _A) or name in _AN
    return f"{'an' if vowel else 'a'} {name}"


def captions(things: Sequence[Thing]) -> tuple[str, ...]:
    """Five sentences about a scene of one to three things."""
    if len(things) == 1:
        return _of_one(things[0])
    if len(things) == 2:
        return _of_two(things[0], things[1])
    first, second, third = things
    return _of_three(first, second, third)


def _of_one(thing: Thing) -> tuple[str, ...]:
    one = with_article(thing.name)
    coloured = with_article(thing.colour) + f" {thing.name}" if thing.colour else one
    where = " and ".join(part for part in (_AT[thing.box.level], _AT[thing.box.side]) if part) or "in the middle"
    return (
        f"{_capital(one)} on a white background.",
        f"A drawing of {coloured}.",
        f"There is one {thing.name} in the picture.",
        f"{_capital(coloured)} {where} of the picture.",
        f"The picture shows {one} and nothing else.",
    )


def _of_two(first: Thing, second: Thing) -> tuple[str, ...]:
    a, b = with_article(first.name), with_article(second.name)
    upright = first.box.top + first.box.size <= second.box.top and not _apart(first.box, second.box)
    near, far = ("at the top", "at the bottom") if upright else ("on the left", "on the right")
    beside = "above" if upright else "to the left of"
    return (
        f"{_capital(a)} and {b} on a white background.",
        f"{_capital(a)} {beside} {b}.",
        f"There are two things in the picture, {a} and {b}.",
        f"{_capital(a)} {near} and {b} {far} of the picture.",
        f"The picture shows {b} and {a}.",
    )


def _of_three(first: Thing, second: Thing, third: Thing) -> tuple[str, ...]:
    a, b, c = (with_article(thing.name) for thing in (first, second, third))
    x, y, z = (_quarter(thing.box) for thing in (first, second, third))
    return (
        f"{_capital(a)}, {b} and {c} on a white background.",
        f"A drawing of {a}, {b} and {c}.",
        f"There are three things in the picture, {a}, {b} and {c}.",
        f"{_capital(a)} at the {x}, {b} at the {y} and {c} at the {z} of the picture.",
        f"The picture shows {c}, {b} and {a}.",
    )


def questions(things: Sequence[Thing]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """(question type, question, right answers) of a scene; prompts show the first answer.

    Types are 'what', 'how-many', 'side' and 'colour', and 'what-left' and the like for two things side by side or one
    above the other.
    """
    count = len(things)
    asked: list[tuple[str, str, tuple[str, ...]]] = [("how-many", HOW_MANY, (NUMBERS[count - 1], str(count)))]
    if count == 1:
        thing = things[0]
        asked.append(("what", WHAT, (thing.name, with_article(thing.name))))
        if thing.box.side:
            asked.append(("side", WHICH_SIDE, (thing.box.side, f"on the {thing.box.side}")))
        if thing.colour:
            asked.append(("colour", WHICH_COLOUR, _colour_answers(thing.colour)))
    if count == 2:
        first, second = things
        ends = ("left", "right") if _apart(first.box, second.box) else ("top", "bottom")
        for end, thing in zip(ends, things, strict=True):
            asked.append((f"what-{end}", WHERE[end], (thing.name, with_article(thing.name))))
    return tuple(asked)


_AT = {"top": "at the top", "bottom": "at the bottom", "left": "on the left", "right": "on the right", "": ""}


def _apart(first: Box, second: Box) -> bool:
    """True where a vertical line in the middle of the scene keeps the two boxes apart."""
    return first.left + first.size <= 32 <= second.left


def _quarter(box: Box) -> str:
    return f"{'bottom' if box.top >= 32 else 'top'} {'right' if box.left >= 32 else 'left'}"


def _colour_answers(colour: str) -> tuple[str, ...]:
    return (colour, "gray") if colour == "grey" else (colour,)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
