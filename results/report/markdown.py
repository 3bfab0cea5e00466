"""The report as Markdown: the tables, the paired tests and the counts; images are in the HTML report."""

from __future__ import annotations

from collections.abc import Sequence

from results.analysis.question_groups import QuestionTable
from results.display import markdown_text, number, p_text
from results.report.report_data import ReportData, layer_errors
from results.report.table_formats import to_markdown


def markdown_report(run: ReportData) -> str:
    """The text of `report.md`. Text from outside is escaped."""
    overview = [*run.overview, *(("Note", note) for note in run.notes)]
    sections = ["# Results\n\n" + "\n".join(f"- {name}: {markdown_text(text)}" for name, text in overview) + "\n"]
    sections.extend(to_markdown(table) for table in run.tables)
    sections.extend(f"## Layers\n\n{markdown_text(one.of)}\n\n{to_markdown(one.table)}" for one in run.sweeps)
    if run.comparisons:
        sections.append(_comparisons(run))
    sections.extend(_questions(table) for table in run.question_tables)
    sections.append(_counts(run))
    if run.reconstructions:
        sections.append(_reconstructions(run))
    exact = [f"- {markdown_text(name)}: `{markdown_text(value)}`" for name, value in run.hashes]
    exact += [] if run.examples.samples else ["- No examples were kept with this run."]
    sections.append("## Exactly what ran\n\n" + "\n".join(exact) + "\n")
    return "\n".join(sections)


def _table(head: Sequence[str], right_from: int, rows: Sequence[Sequence[str]]) -> str:
    rule = [":--" if i < right_from else "--:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(fields) + " |" for fields in (head, rule, *rows)) + "\n"


def _comparisons(run: ReportData) -> str:
    rows = []
    for one in run.comparisons:
        middle, low, high = run.difference(one)
        rows.append(
            [
                markdown_text(f"{one.tokenizer} {one.layers} vs {one.other_name} {one.other_layers}"),
                markdown_text(f"{one.model}; {one.scoring}, {one.prompt_style}"),
                markdown_text(run.comparison_name(one)),
                str(one.n) if one.n == one.either else f"{one.n} of {one.either}",
                f"{middle} ({low} to {high})",
                markdown_text(one.better),
                "" if one.only_first is None else f"{one.only_first} / {one.only_second}",
                "" if one.p is None else markdown_text(p_text(one.p)),
                "" if one.p_holm is None else markdown_text(p_text(one.p_holm)),
            ]
        )
    head = ["Pair", "LLM; scoring", "Setting", "n", "Difference", "Better", "Only first / only other right", "p",
            "p (Holm)"]  # fmt: skip
    intro = (
        "The same episodes, two tokenizers; n counts those with a score from both. Paired bootstrap interval, exact "
        "McNemar test (a paired permutation test where scores are not just right or wrong). Differences are the first "
        "minus the other, in points of a percentage or in the metric's unit.\n\n"
    )
    return "## Paired tests\n\n" + intro + _table(head, 3, rows)


def _questions(table: QuestionTable) -> str:
    rows = [["text-only baseline", "", *(number(value) for value in table.text_only)]]
    rows += [
        [
            markdown_text(f"{row.name} {row.layers}"),
            markdown_text(f"{row.model}; {row.scoring}, {row.prompt_style}"),
            *(entry.text for entry in entries),
        ]
        for row, entries in table.rows
    ]
    head = ["Tokenizer", "LLM; scoring", *map(markdown_text, table.types)]
    intro = (
        "Per cent right of the scored questions, all settings together, and how many those are. The first row answers "
        "with the commonest answer of each type, without image or examples.\n\n"
    )
    return f"## By question type: {markdown_text(f'{table.task} on {table.data}')}\n\n{intro}{_table(head, 2, rows)}"


def _counts(run: ReportData) -> str:
    rows = [
        [
            markdown_text(f"{count.row.name} {count.row.layers}"),
            markdown_text(f"{count.row.task}; {count.row.data}; {count.row.model}; {count.row.scoring}"),
            *(str(x) for x in (count.n, count.scored, count.infeasible, count.refused, count.empty, count.failed)),
            str(count.cached),
        ]
        for count in run.counts
    ]
    head = ["Tokenizer", "Of", "Asked", "Scored", "Infeasible", "Refused", "Empty", "Failed", "From cache"]
    reasons = "".join(
        f"- {reason.count} {reason.status}: {markdown_text(reason.explanation or 'no reason given')} "
        f"({markdown_text(reason.row.name)})\n"
        for reason in run.reasons
    )
    return f"## Counts\n\n{run.call_line}\n\n" + _table(head, 2, rows) + (f"\n{reasons}" if reasons else "")


def _reconstructions(run: ReportData) -> str:
    rows = [
        [
            markdown_text(one.tokenizer),
            markdown_text(one.data),
            str(one.count),
            f"1-{error.layer}" if error.layer > 1 else "1",
            str(error.tokens),
            f"{error.mse:.4f}",
            f"{100 * error.share:.0f} %",
        ]
        for one in run.reconstructions
        for error in layer_errors(one)
    ]
    head = ["Tokenizer", "Data", "Images", "Layers", "Tokens", "MSE on -1..1", "Of the mean image's error"]
    return "## Reconstruction\n\n" + _table(head, 2, rows)
