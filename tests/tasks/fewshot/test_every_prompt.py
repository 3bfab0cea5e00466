"""All 28 prompts of the protocol (two ways, seven settings, two styles) against a second writing of it.

The paper's two prompts stand here as they are printed, for two classes and one example of each; what changes with ways,
shots, repeats and induction is put in by rules of a line each, which share nothing with `tasks.fewshot.prompts`. The
files in `golden/` hold some of the same prompts typed out by hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.fewshot.prompts import classification
from tasks.settings import SETTING_IDS

GPT = """For each of the following input output pairs, output is one of ['lion', 'vase']
###
Input: <lion image>
Output: lion
###
Input: <vase image>
Output: vase
###
Input: <query image>
Output:"""

PALM = """Answer with "lion" or "vase".

<lion image>

This is a lion

<vase image>

This is a vase

<query image>

What is this?

This is a"""

TWO = ("lion", "vase")
FIVE = ("ant", "king crab", "crate", "bookshop", "trifle")
LISTS = {
    ("gpt", TWO): "['lion', 'vase']",
    ("gpt", FIVE): "['ant', 'king crab', 'crate', 'bookshop', 'trifle']",
    ("palm", TWO): '"lion" or "vase"',
    ("palm", FIVE): '"ant", "king crab", "crate", "bookshop", or "trifle"',
}


def expected(style: str, names: tuple[str, ...], setting: str) -> str:
    """From the printed prompt: its opening, its example once for each image shown, its end."""
    induction, shots, repeats = (int(part[1:]) for part in setting.split("-"))
    printed = GPT if style == "gpt" else PALM
    opening = printed[: printed.index("###" if style == "gpt" else "<lion")].replace(
        LISTS[style, TWO], LISTS[style, names]
    )
    example = (
        printed[printed.index("###") : printed.index("###\nInput: <vase")]
        if style == "gpt"
        else printed[printed.index("<lion") : printed.index("<vase")]
    )
    end = printed[printed.rindex("###") :] if style == "gpt" else printed[printed.index("<query") :]
    if not (names == FIVE and shots in (3, 5)):  # only there does the paper's PaLM prompt ask
        end = end.replace("What is this?\n\n", "")
    block = "".join(
        example.replace("<lion image>", f"{name} {shot} <words>").replace("lion", name)
        for shot in range(shots)
        for name in names
    )
    return (opening if induction else "") + block * (repeats + 1) + end.replace("<query image>", "q <words>")


@pytest.mark.parametrize("style", ["gpt", "palm"])
@pytest.mark.parametrize("names", [TWO, FIVE], ids=["2way", "5way"])
@pytest.mark.parametrize("setting", SETTING_IDS)
def test_prompt(make_episode, style: str, names: tuple[str, ...], setting: str) -> None:
    shots = int(setting.split("-")[1][1:])
    episode = make_episode(names, setting, shots)
    texts = {image: f"{name} {i // len(names)} <words>" for i, (image, name) in enumerate(episode.support)}
    # Ids are made of a name's first letter: the names must differ in it.
    assert len(texts) == shots * len(names)
    assert classification(episode, texts | {"q": "q <words>"}, style) == expected(style, names, setting)


def test_the_second_writing_gives_the_printed_prompts() -> None:
    assert expected("gpt", TWO, "i1-s1-r0").replace(" 0 <words>", "") == GPT.replace("<lion image>", "lion").replace(
        "<vase image>", "vase"
    ).replace("<query image>", "q <words>")
    golden = (Path(__file__).parent / "golden" / "palm-2way-i1-s1-r1.txt").read_text()
    words = {"lion 0 <words>": "mane cat fur", "vase 0 <words>": "jar clay pot", "q <words>": "paw tiger cat"}
    made = expected("palm", TWO, "i1-s1-r1")
    for mark, text in words.items():
        made = made.replace(mark, text)
    assert made + "\n" == golden
