"""`cache ...`: count, export, import, verify, prune and explain stored replies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.commands.given import given_path

cache = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Stored replies: count, export, import, verify, prune, explain."
)

OLDEST_DAYS = 36_500
"""A hundred years: what `--older-than` may ask for."""
CacheFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--cache-file",
        help="More stored replies (.jsonl or .sqlite); repeatable.",
        metavar="PATH",
        parser=given_path,
    ),
]


@cache.command("stats")
def cache_stats(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Count stored replies: by model, empty ones, and those that several tokenizers share.

    \b
    Examples:
      python -m benchmarks cache stats
      python -m benchmarks cache stats --json
    """
    from contextlib import closing
    from dataclasses import asdict

    from benchmarks.errors import UsageError
    from benchmarks.reply_sources import reply_store
    from llm_backends.cache.maintenance import cache_stats
    from spae.cache_folder import cache_folder

    if cache_folder().exists() and not cache_folder().is_dir():
        raise UsageError(f"the cache folder must be a folder, {cache_folder()} is a file: set SPAE_CACHE to another")
    with closing(reply_store()) as store:
        found = cache_stats(store)
    if json:
        from json import dumps

        typer.echo(dumps({"file": str(store.path)} | asdict(found), indent=2))
        return
    typer.echo(f"{store.path}: {found.entries:,} replies, {found.bytes / 1e6:,.1f} MB")
    for one in found.models:
        typer.echo(f"  {one.entries:>8,}  {one.model} {one.dtype} ({one.backend}, revision {one.revision[:12]})")
    typer.echo(f"empty: {found.empty:,}")
    typer.echo(f"shared by several tokenizers: {found.shared:,} (of {found.notes:,} requests noted)")
    if found.entries:
        typer.echo(f"stored: {found.oldest} to {found.newest}")
    if found.damaged:
        typer.echo(f"damaged: {found.damaged:,} (python -m benchmarks cache verify names them)")


@cache.command("export")
def cache_export(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[OUT] FILE",
            help="The --out of a run, and the .jsonl file to write.",
            parser=given_path,
        ),
    ],
    all: Annotated[bool, typer.Option("--all", help="Everything in your own store; without OUT.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="With --all: leave damaged replies out.")] = False,
    cache_file: CacheFiles = None,
) -> None:
    """Write replies to a file that can be committed and reviewed: one per line, sorted.

    \b
    Examples:
      python -m benchmarks cache export runs/demo results/replies/demo.jsonl
      python -m benchmarks cache export --all all.jsonl
    """
    from benchmarks.errors import UsageError
    from benchmarks.reply_sources import export_all, export_run, read_only_sources

    wanted = 1 if all else 2
    if len(paths) != wanted:
        raise UsageError(f"cache export takes OUT FILE, or --all FILE; got {len(paths)} of {wanted} paths")
    if skip_bad and not all:
        raise UsageError("--skip-bad belongs to --all: a run's export may leave nothing out")
    if all:
        count, bad = export_all(paths[0], skip_bad=skip_bad)
        typer.echo(f"{count:,} replies written to {paths[0]}" + (f", {bad:,} damaged ones left out" if bad else ""))
        return
    count = export_run(paths[0], paths[1], read_only_sources(cache_file or ()))
    typer.echo(f"{count:,} replies written to {paths[1]}")


@cache.command("export-tokens")
def cache_export_tokens(
    tokenizer: Annotated[str, typer.Argument(help="See `ls tokenizers`.")],
    file: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    data: Annotated[str, typer.Option(help="An embedded image set or a folder of images.")] = "pictograms",
) -> None:
    """Encode every image of a data set, in all layers, into a file that can be committed beside the replies.

    Runs look tokens up in results/tokens before they encode, so that prompts are the same on every machine.

    \b
    Example:
      python -m benchmarks cache export-tokens spae results/tokens/spae.safetensors
    """
    from benchmarks.progress import shown_progress
    from benchmarks.token_files import export_tokens, image_ids
    from spae.console import SafeConsole
    from spae.data.opening import open_set
    from spae.tokenizers.registry import open_tokenizer

    opened, images = open_tokenizer(tokenizer), open_set(data)
    with shown_progress(SafeConsole(), "images", len(image_ids(images))) as advance:
        count = export_tokens(opened, images, file, advance)
    typer.echo(f"tokens of {count:,} images written to {file}")


@cache.command("import")
def cache_import(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Files of replies: .jsonl or .sqlite.",
            parser=given_path,
        ),
    ],
    into: Annotated[
        Path | None,
        typer.Option(
            help="A .jsonl file to write instead of your own store; may be one of FILE.",
            metavar="PATH",
            parser=given_path,
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="If replies differ, keep the stored one.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="If replies differ, take the imported one.")] = False,
) -> None:
    """Import replies from files, all or none.

    Every reply is checked first. If a different reply to the same request is stored, nothing is imported without
    --keep or --replace.

    \b
    Examples:
      python -m benchmarks cache import colleague.jsonl
      python -m benchmarks cache import a.jsonl b.jsonl --into both.jsonl
    """
    from benchmarks.errors import UsageError
    from benchmarks.reply_sources import import_files

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
        typer.Argument(
            metavar="[FILE]...",
            help="Files of replies; your own store and the project's by default.",
            parser=given_path,
        ),
    ] = None,
) -> None:
    """Check every stored reply against its checksum and key; exit code 1 if one is damaged.

    \b
    Examples:
      python -m benchmarks cache verify
      python -m benchmarks cache verify results/replies/miniimagenet-5way-smollm2.jsonl
    """
    from benchmarks.reply_sources import own_files
    from llm_backends.cache.maintenance import check_file

    found = [check_file(path) for path in (files or own_files())]
    for one in found:
        for bad in one.bad:
            typer.echo(f"{one.path}: {bad}")
        state = f"{len(one.bad):,} damaged" if one.bad else "none damaged"
        typer.echo(f"{one.path}: {one.entries:,} replies, {state}")
    if not found:
        typer.echo("nothing is stored")
    if any(one.bad for one in found):
        raise typer.Exit(1)


@cache.command("prune")
def cache_prune(
    model: Annotated[str | None, typer.Option(help="Replies of this model (see `cache stats`).")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Replies stored more than this many days ago.")
    ] = None,
    bad: Annotated[bool, typer.Option("--bad", help="Damaged replies.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove stored replies; --model with --older-than removes those that match both.

    \b
    Examples:
      python -m benchmarks cache prune --bad
      python -m benchmarks cache prune --model SmolLM2-135M-Instruct --older-than 90 --dry-run
    """
    from contextlib import closing
    from datetime import timedelta

    from benchmarks.errors import UsageError
    from benchmarks.reply_sources import reply_store
    from llm_backends.cache.maintenance import prune_cache

    if model is None and older_than is None and not bad:
        raise UsageError("cache prune needs to know what: --model, --older-than or --bad")
    if older_than is not None and not older_than <= OLDEST_DAYS:  # also where it is not a number
        raise UsageError(f"--older-than takes 0 to {OLDEST_DAYS:,} days, got {older_than:g}: pass a number of days")
    age = None if older_than is None else timedelta(days=older_than)
    with closing(reply_store()) as store:
        gone = prune_cache(store, model=model, older_than=age, bad=bad, dry_run=dry_run)
    verb = "would be removed" if dry_run else "removed"
    typer.echo(f"{store.path}: {gone.entries:,} replies {verb}")
    for name, count in gone.models.items():
        typer.echo(f"  {count:>8,}  {name}")
    if gone.damaged:
        typer.echo(f"  {gone.damaged:>8,}  damaged")


@cache.command("explain")
def cache_explain(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The --out of a run.", parser=given_path)],
    record: Annotated[str, typer.Argument(help="A record's id, or its beginning.")],
    cache_file: CacheFiles = None,
) -> None:
    """Show how a record's request differs from the nearest stored one: its fields, and its prompt as a diff.

    \b
    Example:
      python -m benchmarks cache explain runs/demo 3f9a2c
    """
    from contextlib import closing

    from benchmarks.cache_explain import explain_record
    from benchmarks.reply_sources import read_only_sources, reply_store

    with closing(reply_store()) as store:
        typer.echo(explain_record(folder, record, [store, *read_only_sources(cache_file or ())]))
