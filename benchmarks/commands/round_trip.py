"""`round-trip`: whether a model's own text tokenizer keeps the words that images are shown as."""

from __future__ import annotations

from typing import Annotated

import typer


def round_trip(
    llm: Annotated[str, typer.Option(help="Language model (`ls backends`), local or a server's.")] = "smollm2",
    llm_args: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the LLM backend (`ls backends --verbose`); repeatable."),
    ] = None,
    vocabulary: Annotated[str, typer.Option(help="Vocabulary of words: smollm2, or the name of one you made.")] = (
        "smollm2"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Test a text tokenizer on the words of images.

    Measures how many strings of words come back from a model's own text tokenizer with the same words. A server is
    asked for its own (/tokenize of vLLM and llama.cpp), unless --llm-args tokenizer=FOLDER names it.

    \b
    Example:
      python -m benchmarks round-trip --llm gemma3-270m
    """
    from benchmarks.round_trip import measure_names
    from llm_backends.options import split_pairs

    found = measure_names(llm, vocabulary, split_pairs(llm_args or ()))
    if json:
        from json import dumps

        typer.echo(dumps(found.plain(), indent=2))
        return
    typer.echo(f"round_trip_rate {found.round_trip_rate:.4f} of {found.strings} strings ({vocabulary} through {llm})")
    typer.echo(f"tokens per word {found.tokens_per_word:.3f}")
    for shown, back in found.lost:
        typer.echo(f"lost: {shown!r} came back as {back!r}")
