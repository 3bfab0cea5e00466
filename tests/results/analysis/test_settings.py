"""Order and names of settings, tokenizers and layers."""

import random

from results.analysis.settings import (
    FEW_SHOT,
    columns,
    heads,
    in_words,
    layer_numbers,
    natural_order,
    setting_order,
)


def test_the_seven_settings_are_the_columns_of_table_1():
    assert [heads(setting) for setting in FEW_SHOT] == [
        ("", "1", "0"), ("✓", "1", "0"), ("✓", "3", "0"), ("✓", "5", "0"), ("✓", "1", "1"), ("✓", "1", "3"),
        ("✓", "1", "5"),
    ]  # fmt: skip
    assert heads("average")[0] == "Avg" and heads("shots=3") == ("shots=3", "", "")


def test_order_is_that_of_the_paper_with_the_average_last():
    mixed = ["average", "other", *FEW_SHOT]
    random.Random(0).shuffle(mixed)
    assert sorted(mixed, key=setting_order) == [*FEW_SHOT, "other", "average"]


def test_columns_are_all_seven_or_just_what_there_is():
    assert columns(["i1-s1-r0"]) == (*FEW_SHOT, "average")
    assert columns(["shots=3", "shots=1"]) == ("shots=1", "shots=3")


def test_names():
    assert in_words("i0-s1-r0") == "1 shot, no induction" and in_words("i1-s1-r3") == "1 shot, 3 repeats"
    assert in_words("i1-s1-r1") == "1 shot, 1 repeat" and in_words("x") == "x"
    assert layer_numbers("1-3,5") == (1, 2, 3, 5)


def test_natural_order_counts():
    names = ["a10", "a9", "b1", "a09", "7", "a" + "9" * 5000]
    assert sorted(names, key=natural_order) == ["7", "a9", "a09", "a10", "a" + "9" * 5000, "b1"]
