"""`python -m spae recipes` and `python -m spae vocabulary`: the recipes, and vocabularies that they name."""

from __future__ import annotations

import json as json_format
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from spae.errors import InputError, SpaeError


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe in full; a table of all by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the recipes; NAME prints one with its source, data, cost, expected figures and every field.

    Example: python -m spae recipes image
    """
    from spae.errors import UnknownName
    from spae.training.recipes.catalog import catalog

    facts = catalog()
    if name is not None:
        if name.replace("-", "_") not in facts:
            typer.echo(f"error: {UnknownName('recipe', name, facts)}", err=True)
            raise typer.Exit(2)
        _print_recipe(asdict(facts[name.replace("-", "_")]), json)
    elif json:
        typer.echo(json_format.dumps([asdict(one) for one in facts.values()], indent=2))
    else:
        _table([asdict(one) for one in facts.values()])


def _print_recipe(facts: dict[str, str], json: bool) -> None:
    """Print the facts of one recipe, then every field with its value and description."""
    from spae.training.recipes import get_recipe

    fields = list(get_recipe(facts["name"]).fields())
    if json:
        described = [{"field": name, "value": value, "description": text} for name, value, text in fields]
        typer.echo(json_format.dumps(facts | {"fields": described}, indent=2))
        return
    for key, value in facts.items():
        typer.echo(f"{key}: {value}")
    typer.echo("\nfields, changed by --set GROUP.FIELD=VALUE:")
    settings = [(f"{name}={json_format.dumps(value)}", text) for name, value, text in fields]
    width = max(len(setting) for setting, _ in settings if len(setting) < 60)
    for setting, text in settings:
        typer.echo(f"  {setting:<{width}}  {text}")


def _table(rows: list[dict[str, str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from spae.console import SafeConsole

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("what it trains", ratio=3, overflow="fold")
    table.add_column("cost", ratio=2)
    for row in rows:
        table.add_row(row["name"], row["title"], re.split(r"[.;](?: |$)", row["cost"])[0])
    console = SafeConsole()
    console.print(table)
    console.print(
        "python -m spae recipes NAME: its source, data, expected figures, command and every field", markup=False
    )


def vocabulary(
    name: Annotated[str, typer.Argument(help="The name by which recipes refer to it.")],
    causal_lm: Annotated[
        str | None, typer.Option(help="Input embeddings of a causal language model: folder, .gguf file or hub name.")
    ] = None,
    masked_lm: Annotated[
        str | None, typer.Option(help="Input embeddings of a masked language model: folder or hub name (LQAE).")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Words of this tiktoken encoding; with --embeddings.")] = None,
    embeddings: Annotated[
        str | None, typer.Option(help="Model of an embeddings server that embeds the words of --encoding.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="The embeddings server; OpenAI's by default.")] = None,
    sentencepiece: Annotated[
        Path | None, typer.Option(help="Words of this sentencepiece model (.model); with --matrix.")
    ] = None,
    matrix: Annotated[
        Path | None, typer.Option(help="Embeddings of --sentencepiece, a row a piece: .npy or .safetensors.")
    ] = None,
    tensor: Annotated[str | None, typer.Option(help="Name of the tensor in a --matrix that holds several.")] = None,
    most_frequent: Annotated[int | None, typer.Option(help="Keep so many words at most.", min=1)] = None,
) -> None:
    """Build a vocabulary and save it in the cache folder under a name.

    \b
    Examples:
      python -m spae vocabulary roberta-base --masked-lm FacebookAI/roberta-base
      python -m spae vocabulary ada-002 --encoding cl100k_base --embeddings text-embedding-ada-002
      python -m spae vocabulary mine --sentencepiece spm.model --matrix embeddings.npy
    """
    try:
        path, words = _make(
            name, causal_lm, masked_lm, encoding, embeddings, base_url, sentencepiece, matrix, tensor, most_frequent
        )
    except SpaeError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{words} words, written: {path}")


def _make(
    name: str,
    causal_lm: str | None,
    masked_lm: str | None,
    encoding: str | None,
    embeddings: str | None,
    base_url: str | None,
    sentencepiece: Path | None,
    matrix: Path | None,
    tensor: str | None,
    most_frequent: int | None,
) -> tuple[Path, int]:
    pairs = ((encoding, embeddings), (sentencepiece, matrix))
    sources = [causal_lm is not None, masked_lm is not None, *(None not in pair for pair in pairs)]
    halves = any((one is None) != (other is None) for one, other in pairs)
    alone = (base_url is not None and embeddings is None) or (tensor is not None and matrix is None)
    if sum(sources) != 1 or halves or alone:
        raise InputError(
            "a vocabulary has one source: give --causal-lm, or --masked-lm, or --encoding with --embeddings (and "
            "--base-url for another server than OpenAI's), or --sentencepiece with --matrix (and --tensor for one of "
            "several in it)"
        )
    from dataclasses import replace

    from spae.vocabulary import WordFilter, saved_vocabulary_path

    path = saved_vocabulary_path(name)
    keep = WordFilter(most_frequent=most_frequent)
    if masked_lm is not None:
        from spae.vocabulary.masked_lm import ALL_WORDS, masked_lm_vocabulary

        made = masked_lm_vocabulary(masked_lm, replace(ALL_WORDS, most_frequent=most_frequent))
    elif causal_lm is not None:
        from spae.vocabulary.causal_lm import causal_lm_vocabulary

        made = causal_lm_vocabulary(causal_lm, keep)
    elif sentencepiece is not None and matrix is not None:
        from spae.vocabulary.sentencepiece_file import sentencepiece_vocabulary

        made = sentencepiece_vocabulary(sentencepiece, matrix, keep, tensor)
    else:
        from spae.vocabulary.embeddings_endpoint import OPENAI_URL, EmbeddingsEndpoint, endpoint_vocabulary

        endpoint = EmbeddingsEndpoint(str(embeddings), base_url or OPENAI_URL)
        made = endpoint_vocabulary(str(encoding), endpoint, keep)
    made.save(path)
    return path, len(made)
