"""`python -m benchmarks cache ...`: what is stored, into and out of files, checked, explained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

cache = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Stored replies: see, move, check, explain.")

Replies = Annotated[
    list[Path] | None, typer.Option("--replies", help="A further file of replies to look through; may be repeated.")
]


@cache.command("stats")
def cache_stats(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Count what is stored: replies, models, empty ones, those that several tokenizers share.

    Examples:

      python -m benchmarks cache stats

      python -m benchmarks cache stats --json
    """
    from contextlib import closing
    from dataclasses import asdict

    from benchmarks.replies import reply_store
    from llm_backends.cache.maintenance import cache_stats

    with closing(reply_store()) as store:
        found = cache_stats(store)
    if json:
        import json as plain

        typer.echo(plain.dumps({"file": str(store.path)} | asdict(found), indent=2))
        return
    typer.echo(f"{store.path}: {found.entries:,} replies, {found.bytes / 1e6:,.1f} MB")
    for one in found.models:
        typer.echo(f"  {one.entries:>8,}  {one.model} {one.dtype} ({one.backend}, revision {one.revision[:12]})")
    typer.echo(f"empty: {found.empty:,}")
    typer.echo(f"shared by several tokenizers: {found.shared:,} (of {found.notes:,} questions on record)")
    if found.entries:
        typer.echo(f"stored: {found.oldest} to {found.newest}")
    if found.damaged:
        typer.echo(f"damaged: {found.damaged:,} (python -m benchmarks cache verify names them)")


@cache.command("export")
def cache_export(
    paths: Annotated[
        list[Path], typer.Argument(metavar="[OUT] FILE", help="The --out of a run, and the .jsonl file to write.")
    ],
    all: Annotated[bool, typer.Option("--all", help="Everything that is stored; OUT is left out.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="With --all: leave damaged replies out.")] = False,
    replies: Replies = None,
) -> None:
    """Write replies to a file that can be committed and reviewed: one a line, sorted.

    Examples:

      python -m benchmarks cache export runs/demo results/replies/demo.jsonl

      python -m benchmarks cache export --all all.jsonl
    """
    from benchmarks.errors import UsageError
    from benchmarks.replies import export_all, export_run, reply_layers

    wanted = 1 if all else 2
    if len(paths) != wanted:
        raise UsageError(f"cache export takes OUT FILE, or --all FILE; got {len(paths)} of {wanted} paths")
    if skip_bad and not all:
        raise UsageError("--skip-bad belongs to --all: a run's export may leave nothing out")
    if all:
        count, bad = export_all(paths[0], skip_bad=skip_bad)
        typer.echo(f"{count:,} replies written to {paths[0]}" + (f", {bad:,} damaged ones left out" if bad else ""))
        return
    count = export_run(paths[0], paths[1], reply_layers(replies or ()))
    typer.echo(f"{count:,} replies written to {paths[1]}")


@cache.command("import")
def cache_import(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of replies: .jsonl or .sqlite.")],
    into: Annotated[
        Path | None, typer.Option(help="A .jsonl file to write, instead of your own store; may be one of FILE.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Where replies differ, keep what is stored.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Where replies differ, take what is imported.")] = False,
) -> None:
    """Take in replies from files, all or none; also those an earlier version wrote.

    Every reply is checked first. Where another reply is stored to the same request, nothing is imported unless you
    choose --keep or --replace.

    Examples:

      python -m benchmarks cache import colleague.jsonl

      python -m benchmarks cache import old.jsonl --into old.jsonl
    """
    from benchmarks.errors import UsageError
    from benchmarks.replies import import_files

    if keep and replace:
        raise UsageError("--keep and --replace exclude each other: drop one")
    if into is not None and into.suffix != ".jsonl":
        raise UsageError(f"--into takes a .jsonl file, got {into}: leave it out to import into your own store")
    for line in import_files(files, into, "keep" if keep else "replace" if replace else "refuse"):
        typer.echo(line)


@cache.command("verify")
def cache_verify(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Files of replies; your own store and the project's by default."),
    ] = None,
) -> None:
    """Check every stored reply against its checksum and key: exit code 0, or 1 naming each damaged one.

    Examples:

      python -m benchmarks cache verify

      python -m benchmarks cache verify results/replies/miniimagenet-5way-smollm2.jsonl
    """
    from benchmarks.replies import own_files
    from llm_backends.cache.maintenance import check_file

    found = [check_file(path) for path in (files or own_files())]
    for one in found:
        for bad in one.bad:
            typer.echo(f"{one.path}: {bad}")
        state = f"{len(one.bad):,} damaged" if one.bad else "all as they were written"
        typer.echo(f"{one.path}: {one.entries:,} replies, {state}")
    if not found:
        typer.echo("nothing is stored")
    if any(one.bad for one in found):
        raise typer.Exit(1)


@cache.command("prune")
def cache_prune(
    model: Annotated[str | None, typer.Option(help="Replies of this model; `cache stats` names them.")] = None,
    older_than: Annotated[float | None, typer.Option(min=0, help="Replies stored more days ago than this.")] = None,
    bad: Annotated[bool, typer.Option("--bad", help="Replies that are damaged.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
) -> None:
    """Remove stored replies; --model with --older-than removes what is both.

    Examples:

      python -m benchmarks cache prune --bad

      python -m benchmarks cache prune --model SmolLM2-135M-Instruct --older-than 90 --dry-run
    """
    from contextlib import closing
    from datetime import timedelta

    from benchmarks.errors import UsageError
    from benchmarks.replies import reply_store
    from llm_backends.cache.maintenance import prune_cache

    if model is None and older_than is None and not bad:
        raise UsageError("cache prune needs to know what: --model, --older-than or --bad")
    age = None if older_than is None else timedelta(days=older_than)
    with closing(reply_store()) as store:
        gone = prune_cache(store, model=model, older_than=age, bad=bad, dry_run=dry_run)
    verb = "would be removed" if dry_run else "removed"
    typer.echo(f"{store.path}: {gone.entries:,} replies {verb}")
    for name, count in gone.models.items():
        typer.echo(f"  {count:>8,}  {name}")
    if gone.damaged:
        typer.echo(f"  {gone.damaged:>8,}  damaged")


@cache.command("why")
def cache_why(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The --out of a run.")],
    record: Annotated[str, typer.Argument(help="A record's id, or its beginning.")],
    replies: Replies = None,
) -> None:
    """Say how a record's request differs from the nearest stored one: its fields, and its prompt as a diff.

    Example: python -m benchmarks cache why runs/demo 3f9a2c
    """
    from contextlib import closing

    from benchmarks.cache_why import explain_record
    from benchmarks.replies import reply_layers, reply_store

    with closing(reply_store()) as store:
        typer.echo(explain_record(folder, record, [store, *reply_layers(replies or ())]))
