"""Configurations compared field by field."""

from results.differences import differences, in_words, short


def test_fields_that_differ_come_by_name_with_both_values():
    held = {"seed": 0, "llm": {"name": "a", "dtype": "f"}, "same": [1, 2], "gone": None}
    wanted = {"seed": 1, "llm": {"name": "a", "dtype": "b"}, "same": [1, 2], "new": "x"}
    assert [tuple(one) for one in differences(held, wanted)] == [
        ("gone", "null", None), ("llm.dtype", '"f"', '"b"'), ("new", None, '"x"'), ("seed", "0", "1"),
    ]  # fmt: skip
    assert differences(held, held) == []


def test_words_are_few_and_short():
    text = in_words(differences({str(i): i for i in range(20)}, {str(i): -1 for i in range(20)}))
    assert text.endswith("and 14 more") and text.startswith("0: 0 there, -1 asked for; ")
    assert len(short("x" * 100)) == 40 and short("x" * 40) == "x" * 40 and short(None) == "nothing"
