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

from spae.errors import InputError
from spae.regular_file import read_bytes

if TYPE_CHECKING:
    import numpy as np

    from spae.tokenizers.protocol import Tokenizer
    from spae.tokens import ImageTokens

BATCH = 64
MAX_GRID_IMAGES = 4096
PYRAMIDS = Path("runs/pyramids")
TOKENIZER_HELP = "A name (spae, vqgan), a folder that train wrote, or hf:OWNER/NAME."


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """A failure of the disk while a file is written becomes one line that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}): name another place, or free or mend the disk"
        ) from error


def tokenize(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")],
    tokenizer: Annotated[str, typer.Option(help=TOKENIZER_HELP)] = "spae",
    layers: Annotated[str | None, typer.Option(help="Layers to print, 1-3 or 1,3; all by default.")] = None,
    show: Annotated[
        bool, typer.Option("--show", help=f"Write a figure of each pyramid to {PYRAMIDS}/, or beside --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="File to write to instead of printing; as JSON where it ends in .json.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON with ids and words, which decode reads.")] = False,
) -> None:
    """Print the words that images become, layer by layer, each layer as its grid.

    An image may have any size: its middle square is used. Unreadable images are named and skipped; the exit code is
    then 2.

    Examples:

      python -m spae tokenize lion.png --layers 1-3

      python -m spae tokenize photos/ --show --out words.json

      python -m spae tokenize lion.png --tokenizer runs/train/picto_spae --json
    """
    from spae.data.image_file import image_paths
    from spae.layers import parse_layers, select_layers

    # All that is typed is checked before torch is loaded.
    if layers is not None:
        parse_layers(layers)
    if out is not None and out.is_dir():
        raise InputError(f"--out must be a file, {out} is a folder: add a name, {out / 'words.txt'}")
    paths, wrong = image_paths(images)
    for error in wrong:
        typer.echo(f"error: {error}", err=True)
    if not paths:
        raise typer.Exit(2)
    from spae.tokenizers.registry import open_tokenizer

    opened = open_tokenizer(tokenizer)
    chosen = select_layers(layers, range(1, opened.depth + 1))
    folder = PYRAMIDS if out is None else out.with_name(f"{out.stem}-pyramids")
    done = list(_encoded(opened, paths, chosen, folder if show else None))
    tokens = {str(path): one for path, one in done if one is not None}
    if tokens:
        as_json = json or (out is not None and out.suffix.lower() == ".json")
        _print(opened, tokens, chosen, out, as_json)
    if wrong or len(tokens) < len(paths):
        failed = len(paths) - len(tokens) + len(wrong)
        typer.echo(f"error: {failed} could not be read, {len(tokens)} tokenized", err=True)
        raise typer.Exit(2)


def _encoded(
    tokenizer: Tokenizer, paths: Sequence[Path], layers: Sequence[int], folder: Path | None
) -> Iterator[tuple[Path, ImageTokens | None]]:
    """Each image with its tokens up to the last of `layers`; None if it does not decode, with a message on stderr.

    Args:
        folder: for figures of the pyramids; None writes none.
    """
    from spae.console import SafeConsole, SafeProgress
    from spae.data.image_file import check_header, read_image
    from spae.errors import CorruptImage

    taken: set[str] = set()
    console = SafeConsole(stderr=True)
    hidden = len(paths) <= BATCH or not console.is_terminal
    with SafeProgress(console=console, transient=True, disable=hidden) as progress:
        bar = progress.add_task("images", total=len(paths))
        for start in range(0, len(paths), BATCH):
            batch, small = paths[start : start + BATCH], {}
            for path in batch:
                try:
                    check_header(path, str(path))
                    # Only the resized image is kept: files may be large.
                    small[path] = tokenizer.prepare(read_image(path, str(path)))
                except CorruptImage as error:
                    typer.echo(f"error: {error}", err=True)
                progress.advance(bar)
            if not small:  # nothing to load torch for
                yield from ((path, None) for path in batch)
                continue
            tokens = dict(zip(small, tokenizer.encode(list(small.values()), layers[-1]), strict=True))
            if folder is not None and tokens:
                _write_figures(tokenizer, small, tokens, layers, folder, taken)
            yield from ((path, tokens.get(path)) for path in batch)


def _write_figures(
    tokenizer: Tokenizer,
    images: dict[Path, np.ndarray],
    tokens: dict[Path, ImageTokens],
    layers: Sequence[int],
    folder: Path,
    taken: set[str],
) -> None:
    """One PNG an image; `taken` are the names used before, in lower case."""
    from spae.tokenizers.pyramid_figure import pyramid_figure, save_figure

    steps = range(1, layers[-1] + 1)
    decoded = {layer: tokenizer.decode(list(tokens.values()), range(1, layer + 1)) for layer in steps}
    for number, (path, one) in enumerate(tokens.items()):
        titled = [(f"layers 1-{layer}" if layer > 1 else "layer 1", decoded[layer][number]) for layer in steps]
        name, copy = path.stem, 1
        while name.lower() in taken:
            copy += 1
            name = f"{path.stem}-{copy}"
        taken.add(name.lower())
        with _writing(folder / f"{name}.png"):
            save_figure(pyramid_figure(images[path], titled, one, layers), folder / f"{name}.png")
        typer.echo(f"written: {folder / name}.png", err=True)


def _print(
    tokenizer: Tokenizer, tokens: dict[str, ImageTokens], layers: Sequence[int], out: Path | None, as_json: bool
) -> None:
    """Print the words, or write them to `out`."""
    from spae.atomic import atomic_path
    from spae.console import SafeConsole
    from spae.tokenizers.shown_words import plain_words, rich_words
    from spae.tokenizers.words_file import words_json

    if as_json:
        import json as plain

        text = plain.dumps(words_json(tokenizer, list(tokens), list(tokens.values()), layers), ensure_ascii=False)
    else:
        text = "\n".join(plain_words(name, one, layers) for name, one in tokens.items())
    if out is not None:
        with _writing(out), atomic_path(out) as draft:
            draft.write_text(text + "\n", encoding="utf-8", errors="replace")
        typer.echo(f"written: {out}", err=True)
    elif as_json or not sys.stdout.isatty():
        typer.echo(text)
    else:
        console = SafeConsole()
        for name, one in tokens.items():
            console.print(*rich_words(name, one, layers), sep="\n")


def decode(
    tokens: Annotated[
        str, typer.Argument(metavar="TOKENS.json", help="File that tokenize --json wrote, or - for stdin.")
    ],
    out: Annotated[Path, typer.Option(help="PNG file to write; many images become one grid.")],
    tokenizer: Annotated[str, typer.Option(help=TOKENIZER_HELP)] = "spae",
    layers: Annotated[str | None, typer.Option(help="Layers to decode from, 1-3; all by default.")] = None,
) -> None:
    """Reconstruct images from their words.

    Words or ids may have been edited by hand or written by a language model: each layer needs one of them for each
    cell of its grid.

    Examples:

      python -m spae decode words.json --out lion.png

      python -m spae decode words.json --layers 1-3 --out rough.png

      python -m spae tokenize lion.png --json | python -m spae decode - --out back.png
    """
    from spae.layers import format_layers
    from spae.tokenizers.pyramid_figure import save_image_grid
    from spae.tokenizers.registry import open_tokenizer
    from spae.tokenizers.words_file import read_words

    if out.suffix.lower() != ".png":
        raise InputError(f"--out must end in .png, got {out}: images are written as PNG")
    text = _read(tokens)
    opened = open_tokenizer(tokenizer)
    found = read_words(text, opened, layers)
    if len(found.tokens) > MAX_GRID_IMAGES:
        raise InputError(f"one PNG holds {MAX_GRID_IMAGES} images, got {len(found.tokens)}: split the file")
    if found.note:
        typer.echo(f"note: {found.note}", err=True)
    decoded = opened.decode(found.tokens, found.layers)
    with _writing(out):
        save_image_grid(decoded, out)
    side = opened.image_size
    typer.echo(f"written: {out} ({len(decoded)} of {side}x{side}, layers {format_layers(found.layers)})")


def _read(where: str) -> bytes:
    from spae.tokenizers.words_file import MAX_BYTES

    try:
        if where == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        return read_bytes(Path(where), MAX_BYTES)
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror}): name what tokenize --json wrote") from error
