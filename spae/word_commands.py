"""`tokenize` and `decode`: images to words on a command line, and back.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spae.errors import InputError, SpaeError

if TYPE_CHECKING:
    import numpy as np

    from spae.tokenizers.protocol import Tokenizer
    from spae.tokens import ImageTokens

BATCH = 64
MOST_IN_A_GRID = 4096
SHOWN = Path("runs/pyramids")
TOKENIZER_HELP = "A name (spae, vqgan), a folder that train wrote, or hf:OWNER/NAME."


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except SpaeError as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error


def tokenize(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")],
    tokenizer: Annotated[str, typer.Option(help=TOKENIZER_HELP)] = "spae",
    layers: Annotated[str | None, typer.Option(help="Layers to print, 1-3 or 1,3; all by default.")] = None,
    show: Annotated[
        bool, typer.Option("--show", help=f"Draw each pyramid as a PNG in {SHOWN}/, or beside --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="File to write to instead of printing; as JSON where it ends in .json.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON with ids and words, which decode reads.")] = False,
) -> None:
    """Print the words that images become, layer by layer, each layer as its grid.

    An image may have any size: its middle square is taken. One that does not decode is named, the others are done,
    and the exit code is 2.

    Examples:

      python -m spae tokenize lion.png --layers 1-3

      python -m spae tokenize photos/ --show --out words.json

      python -m spae tokenize lion.png --tokenizer runs/train/picto_spae --json
    """
    from spae.data.image_paths import image_paths
    from spae.tokenizers.layer_choice import layer_choice
    from spae.tokenizers.registry import open_tokenizer

    with _one_line_errors():
        opened = open_tokenizer(tokenizer)
        chosen = layer_choice(layers, range(1, opened.depth + 1))
        paths, wrong = image_paths(images)
        for error in wrong:
            typer.echo(f"error: {error}", err=True)
        folder = SHOWN if out is None else out.with_name(f"{out.stem}-pyramids")
        done = list(_encoded(opened, paths, chosen, folder if show else None))
        tokens = {str(path): one for path, one in done if one is not None}
        if tokens:
            as_json = json or (out is not None and out.suffix.lower() == ".json")
            _give(opened, tokens, chosen, out, as_json)
    if wrong or len(tokens) < len(paths):
        typer.echo(f"error: {len(paths) - len(tokens) + len(wrong)} could not be used, {len(tokens)} done", err=True)
        raise typer.Exit(2)


def _encoded(
    tokenizer: Tokenizer, paths: Sequence[Path], layers: Sequence[int], folder: Path | None
) -> Iterator[tuple[Path, ImageTokens | None]]:
    """Each image with its tokens up to the last of `layers`; None where it does not decode, which is said.

    Args:
        folder: where pyramids are drawn; None draws none.
    """
    from rich.console import Console
    from rich.progress import Progress

    from spae.data.image_file import check_header, read_image
    from spae.errors import CorruptImage

    taken: set[str] = set()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=len(paths) <= BATCH or not console.is_terminal) as progress:
        bar = progress.add_task("images", total=len(paths))
        for start in range(0, len(paths), BATCH):
            batch, small = paths[start : start + BATCH], {}
            for path in batch:
                try:
                    check_header(path, str(path))
                    # Only the small one is kept: files may be as large as they like.
                    small[path] = tokenizer.prepare(read_image(path, str(path)))
                except CorruptImage as error:
                    typer.echo(f"error: {error}", err=True)
                progress.advance(bar)
            tokens = dict(zip(small, tokenizer.encode(list(small.values()), layers[-1]), strict=True))
            if folder is not None and tokens:
                _draw(tokenizer, small, tokens, layers, folder, taken)
            yield from ((path, tokens.get(path)) for path in batch)


def _draw(
    tokenizer: Tokenizer,
    images: dict[Path, np.ndarray],
    tokens: dict[Path, ImageTokens],
    layers: Sequence[int],
    folder: Path,
    taken: set[str],
) -> None:
    """One PNG an image; `taken` are the names used before, in small letters."""
    from spae.cache_folder import atomic_path
    from spae.tokenizers.pyramid_figure import draw_pyramid

    steps = range(1, layers[-1] + 1)
    drawn = {layer: tokenizer.decode(list(tokens.values()), range(1, layer + 1)) for layer in steps}
    for number, (path, one) in enumerate(tokens.items()):
        redrawn = [(f"layers 1-{layer}" if layer > 1 else "layer 1", drawn[layer][number]) for layer in steps]
        name, copy = path.stem, 1
        while name.lower() in taken:
            copy += 1
            name = f"{path.stem}-{copy}"
        taken.add(name.lower())
        with atomic_path(folder / f"{name}.png") as draft:
            draw_pyramid(images[path], redrawn, one, layers).save(draft, "PNG")
        typer.echo(f"drawn: {folder / name}.png", err=True)


def _give(
    tokenizer: Tokenizer, tokens: dict[str, ImageTokens], layers: Sequence[int], out: Path | None, as_json: bool
) -> None:
    """Print the words, or write them to a file."""
    from rich.console import Console

    from spae.cache_folder import atomic_path
    from spae.tokenizers.shown_words import plain_words, rich_words
    from spae.tokenizers.words_file import words_json

    if as_json:
        import json as plain

        text = plain.dumps(words_json(tokenizer, list(tokens), list(tokens.values()), layers), ensure_ascii=False)
    else:
        text = "\n".join(plain_words(name, one, layers) for name, one in tokens.items())
    if out is not None:
        with atomic_path(out) as draft:
            draft.write_text(text + "\n", encoding="utf-8", errors="replace")
        typer.echo(f"written: {out}", err=True)
    elif as_json or not sys.stdout.isatty():
        typer.echo(text)
    else:
        console = Console()
        for name, one in tokens.items():
            console.print(*rich_words(name, one, layers), sep="\n")


def decode(
    tokens: Annotated[str, typer.Argument(metavar="TOKENS.json", help="What tokenize --json wrote, or - for stdin.")],
    out: Annotated[Path, typer.Option(help="The image to write, IMAGE.png; a grid of them where there are many.")],
    tokenizer: Annotated[str, typer.Option(help=TOKENIZER_HELP)] = "spae",
    layers: Annotated[str | None, typer.Option(help="Layers to draw from, 1-3; all there are by default.")] = None,
) -> None:
    """Draw the images that words stand for.

    Words or ids may have been changed by hand or by a language model: each layer needs one of them, on its grid.

    Examples:

      python -m spae decode words.json --out lion.png

      python -m spae decode words.json --layers 1-3 --out rough.png

      python -m spae tokenize lion.png --json | python -m spae decode - --out back.png
    """
    from spae.cache_folder import atomic_path
    from spae.tokenizers.pyramid_figure import image_grid
    from spae.tokenizers.registry import open_tokenizer
    from spae.tokenizers.words_file import read_words

    with _one_line_errors():
        if out.suffix.lower() != ".png":
            raise InputError(f"--out must end in .png, got {out}: images are written as PNG")
        text = _read(tokens)
        opened = open_tokenizer(tokenizer)
        found = read_words(text, opened, layers)
        if len(found.tokens) > MOST_IN_A_GRID:
            raise InputError(f"one PNG holds {MOST_IN_A_GRID} images, got {len(found.tokens)}: split the file")
        if found.remark:
            typer.echo(f"note: {found.remark}", err=True)
        drawn = opened.decode(found.tokens, found.layers)
        with atomic_path(out) as draft:
            image_grid(drawn).save(draft, "PNG")
    typer.echo(
        f"written: {out} ({len(drawn)} of {opened.image_size}x{opened.image_size}, layers {_listed(found.layers)})"
    )


def _read(where: str) -> bytes:
    from spae.tokenizers.words_file import LARGEST

    try:
        if where == "-":
            return sys.stdin.buffer.read(LARGEST + 1)
        with Path(where).open("rb") as stream:
            return stream.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror}): name what tokenize --json wrote") from error


def _listed(layers: Sequence[int]) -> str:
    return ",".join(map(str, layers))
