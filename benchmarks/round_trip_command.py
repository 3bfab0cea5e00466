"""`round-trip`: does a model's own tokenizer keep the words that images are shown as?"""

from __future__ import annotations

from typing import Annotated

import typer


def round_trip(
    llm: Annotated[str, typer.Option(help="A local language model: a name that `ls backends` shows.")] = "smollm2",
    vocabulary: Annotated[str, typer.Option(help="Vocabulary of words: smollm2, or one that you made.")] = "smollm2",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how many strings of words come through a model's own tokenizer with the same words.

    Example: python -m benchmarks round-trip --llm gemma3-270m
    """
    from benchmarks.round_trip import measure_names

    found = measure_names(llm, vocabulary)
    if json:
        import json as plain

        typer.echo(plain.dumps(found.plain(), indent=2))
        return
    typer.echo(f"round_trip_rate {found.round_trip_rate:.4f} of {found.strings} strings ({vocabulary} through {llm})")
    typer.echo(f"tokens a word   {found.tokens_per_word:.3f}")
    for shown, back in found.lost:
        typer.echo(f"lost: {shown!r} came back as {back!r}")
