"""How long the prompts of each tokenizer are, in words."""

from __future__ import annotations

from matplotlib.figure import Figure

from results.report.report_data import ReportData


def prompt_lengths(run: ReportData) -> Figure:
    lengths: dict[str, list[int]] = {}
    for record in run.records:
        lengths.setdefault(f"{record.tokenizer} {record.layers}", []).append(len(record.prompt.split()))
    figure = Figure(figsize=(6, 0.6 + 0.4 * len(lengths)), layout="constrained")
    axes = figure.subplots()
    axes.boxplot(list(lengths.values()), orientation="horizontal", tick_labels=list(lengths))
    axes.set_xlabel("words of a prompt")
    return figure
