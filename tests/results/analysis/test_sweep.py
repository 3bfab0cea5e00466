"""The table over layers."""

from __future__ import annotations

from results.analysis.aggregate import Cell
from results.analysis.sweep import sweeps


def cell(layers: str, setting: str, value: float | None, tokenizer: str = "spae", infeasible: int = 0) -> Cell:
    n = 10
    return Cell(
        task="miniimagenet-5way", tokenizer=tokenizer, layers=layers, model="m", data="pictograms", scoring="ranked",
        prompt_style="gpt", setting=setting, n=n,
        scored=0 if value is None else n, failed=0, infeasible=infeasible, empty=0,
        refused=0, cached=0, metric="accuracy", value=value,
        ci_low=None if value is None else max(0.0, value - 0.1), ci_high=None if value is None else value + 0.1,
    )  # fmt: skip


CELLS = [
    cell("1", "i1-s1-r0", 0.5),
    cell("1-2", "i1-s1-r0", 0.6),
    cell("1-3", "i1-s1-r0", 0.4),
    cell("1", "i1-s5-r0", 0.7),
    cell("1-2", "i1-s5-r0", 0.8),
    cell("1-3", "i1-s5-r0", None, infeasible=10),
    cell("1,3", "i1-s1-r0", 0.3),
    cell("1", "i1-s1-r0", 0.2, tokenizer="vqgan"),
]
TOKENS = {("spae", "1"): 1, ("spae", "1-2"): 5, ("spae", "1-3"): 21}


def test_a_sweep_is_the_rows_from_the_first_layer_on(facts) -> None:
    (one,) = sweeps(CELLS, TOKENS, facts)
    assert (one.layers, one.tokens) == ((1, 2, 3), {1: 1, 2: 5, 3: 21})
    assert one.of == "spae by layers: miniimagenet-5way on pictograms, m, ranked, gpt"
    assert [row.pyramid for row in one.table.groups[0].rows] == ["1 : 1", "1-2 : 5", "1-3 : 21"]
    assert [curve.label for curve in one.curves] == ["1 shot", "5 shots"]
    assert [entry.value_text for entry in one.curves[1].entries.values()] == ["70.0", "80.0", "-"]
    assert one.left_out == ("5 shots, 1-3: -",)


def test_the_papers_table_5_stands_below_and_is_called_not_comparable(facts) -> None:
    (one,) = sweeps(CELLS, TOKENS, facts)
    paper = one.table.groups[1]
    assert paper.source == "paper" and "not comparable" in paper.caption
    # The six rows of Table 5, 5-way: 1-shot with induction as printed there.
    column = one.table.settings.index("i1-s1-r0")
    assert [row.entries[column].value_text for row in paper.rows] == ["52.0", "64.2", "65.1", "58.5", "46.3", "35.7"]
    assert [row.pyramid for row in paper.rows][2:4] == ["1-3 : 21", "1-4 : 85"]
    last = one.table.settings.index("i1-s5-r0")
    assert [row.entries[last].value_text for row in paper.rows][-1] == "-"


def test_one_number_of_layers_is_no_sweep() -> None:
    assert sweeps([cell("1-2", "i1-s1-r0", 0.5), cell("1,2", "i1-s1-r0", 0.5), cell("2", "i1-s1-r0", 0.5)]) == []
