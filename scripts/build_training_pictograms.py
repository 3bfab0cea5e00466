"""Builds spae/data/embedded/pictograms_training.parquet: the same concepts in further open styles, to train on alone.

The sets come as npm packages and one Debian package. In an empty folder outside the repository:

    npm install --ignore-scripts openmoji emoji-datasource-google@5.0.1 twemoji@1.4.1 emojibase-data \\
        @expo-google-fonts/noto-emoji @fontsource/unifontex @iconify-json/streamline-emojis \\
        @iconify-json/fluent-emoji-high-contrast @iconify-json/game-icons @iconify-json/mdi @iconify-json/icon-park \\
        @iconify-json/hugeicons @iconify-json/lucide @iconify-json/ph
    apt-get download fonts-symbola && dpkg -x fonts-symbola_*.deb node_modules/fonts-symbola
    python scripts/build_training_pictograms.py THAT_FOLDER/node_modules

Two of them are old on purpose: Noto as Android 9 and 10 had it, and the first Twemoji, drew many things otherwise.

Files and fonts are matched by code point. Icons are matched by CLDR name or Unicode character name alone, since sets
of icons have names of their own: the matches were looked at, and `wrong` lists those that show something else.

Left out are the concepts held out of training, and every image that nearly repeats one of the same concept in any
style before it, the held-out one included: so nothing that looks like an image of the test is trained on.

Cost: about three minutes on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import resvg_py
from build_pictograms import SIZE, IconSet, Source, key, match, read_concepts, rendered, webp, write
from PIL import Image, ImageDraw, ImageFont

from spae.data.embedded.pictogram_file import IMAGE
from spae.data.embedded.pictograms import PICTOGRAMS, Pictograms, load_pictograms
from spae.data.embedded.training_pictograms import TRAINING_PICTOGRAMS

MAX_BYTES = 6_000_000
NEAR = 15.0
"""Mean difference, of 255, below which two images are one drawing once place and size are taken out. By the median,
Noto's v1 in two crops differs by 4, two sets of one style by 20 to 70."""
INK = 245
GLYPH = 256
MARGIN = 2

Ways = list[Callable[[Source], list[str]]]
Drawn = Iterator[tuple[str, np.ndarray]]
"""Hex codes of concepts and images [64, 64, 3] uint8."""


@dataclass(frozen=True)
class Files:
    """A folder of SVG or PNG files named by code point."""

    package: str
    folder: str

    def draw(self, packages: Path, concepts: list[Source], ways: Ways, wanted: Set[str]) -> Drawn:
        files = {bare(path.stem): path for path in sorted((packages / self.package / self.folder).iterdir())}
        for concept in concepts:
            path = files.get(bare(concept.hexcode))
            if path is not None and concept.hexcode in wanted:
                yield concept.hexcode, svg_file(path) if path.suffix == ".svg" else png_file(path)


@dataclass(frozen=True)
class Icons:
    """A set of icons by name.

    Args:
        package: of iconify's layout.
        suffix: of the weight that is rendered, in a set of several.
        wrong: labels whose icon shows another thing.
    """

    package: str
    suffix: str = ""
    wrong: tuple[str, ...] = ()

    def draw(self, packages: Path, concepts: list[Source], ways: Ways, wanted: Set[str]) -> Drawn:
        icons = IconSet(packages / self.package)
        if self.suffix:
            names = [name for name in [*icons.icons, *icons.aliases] if name.endswith(self.suffix)]
            icons.by_key = {key(name.removesuffix(self.suffix)): icons.root(name) for name in names}
        found = match(concepts, ways[:2], icons)
        stale = set(self.wrong) - {concept.label for concept in concepts if concept.hexcode in found}
        if stale:
            raise SystemExit(f"{self.package} has no icon for {', '.join(sorted(stale))}: look at its matches again")
        for concept in concepts:
            if concept.hexcode in found and concept.hexcode in wanted and concept.label not in self.wrong:
                yield concept.hexcode, icons.pixels(found[concept.hexcode])


@dataclass(frozen=True)
class Glyphs:
    """A font of one colour, rendered in black."""

    package: str
    file: str

    def draw(self, packages: Path, concepts: list[Source], ways: Ways, wanted: Set[str]) -> Drawn:
        font = ImageFont.truetype(packages / self.package / self.file, GLYPH)
        missing = glyph(font, "\U0010fffd")
        for concept in concepts:
            points = bare(concept.hexcode).split("-")
            if len(points) > 1 or concept.hexcode not in wanted:
                continue
            image = glyph(font, chr(int(points[0], 16)))
            if not np.array_equal(image, missing):
                yield concept.hexcode, image


# Style -> where it comes from; the order is the order of rows inside a concept, and of looking for near repeats.
STYLES: dict[str, Files | Icons | Glyphs] = {
    "openmoji": Files("openmoji", "color/svg"),
    "noto-2019": Files("emoji-datasource-google", "img/google/64"),
    "streamline-emojis": Icons("@iconify-json/streamline-emojis", wrong=("turkey",)),
    "twemoji-v1": Files("twemoji", "svg"),
    "openmoji-black": Files("openmoji", "black/svg"),
    "fluent-emoji-high-contrast": Icons("@iconify-json/fluent-emoji-high-contrast"),
    "noto-mono": Glyphs("@expo-google-fonts/noto-emoji", "400Regular/NotoEmoji_400Regular.ttf"),
    "symbola": Glyphs("fonts-symbola", "usr/share/fonts/truetype/ancient-scripts/Symbola_hint.ttf"),
    "unifontex": Glyphs("@fontsource/unifontex", "files/unifontex-latin-400-normal.woff"),
    "game-icons": Icons("@iconify-json/game-icons", wrong=("ram", "butterfly", "fountain", "volcano")),
    "mdi": Icons(
        "@iconify-json/mdi",
        wrong=(
            *("mouse", "cricket", "school", "hospital", "camping", "construction", "sport utility vehicle"),
            "satellite",
        ),
    ),
    "icon-park": Icons(
        "@iconify-json/icon-park",
        wrong=(
            *("mouse", "turkey", "chicken", "anchor", "seat", "ring", "keyboard", "telescope", "link", "clamp"),
            *("fireworks", "label", "trumpet"),
        ),
    ),
    "hugeicons": Icons(
        "@iconify-json/hugeicons",
        wrong=("sunglasses", "wedding", "purse", "popcorn", "satellite", "locked", "clipboard"),
    ),
    "lucide": Icons("@iconify-json/lucide", wrong=("mouse", "radio")),
    "phosphor": Icons("@iconify-json/ph", suffix="-duotone", wrong=("mouse", "cricket")),
}


def bare(code: str) -> str:
    """Code points without the selector of colour, which sets write or leave out as they like."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def svg_file(path: Path) -> np.ndarray:
    """The file at 64x64, whatever size it states."""

    def sized(tag: re.Match[str]) -> str:
        return re.sub(r'\s(width|height)="[^"]*"', "", tag[1]) + f' width="{SIZE}" height="{SIZE}">'

    return rendered(re.sub(r"(<svg[^>]*)>", sized, path.read_text(encoding="utf-8"), count=1), path.name)


def png_file(path: Path) -> np.ndarray:
    """The file, which is 64x64 already, on white."""
    with Image.open(path, formats=["PNG"]) as image:
        if image.size != (SIZE, SIZE):
            raise SystemExit(f"{path.name}: is {image.size}, expected {(SIZE, SIZE)}")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
    return np.asarray(white.convert("RGB"))


def glyph(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    """The character's ink, its longer side filling the square but for a margin."""
    sheet = Image.new("L", (3 * GLYPH, 3 * GLYPH), 0)
    ImageDraw.Draw(sheet).text((GLYPH, GLYPH), character, font=font, fill=255)
    image = Image.new("L", (SIZE, SIZE), 255)
    box = sheet.getbbox()
    if box is not None:
        scale = (SIZE - 2 * MARGIN) / max(box[2] - box[0], box[3] - box[1])
        width, height = (max(1, round(scale * side)) for side in (box[2] - box[0], box[3] - box[1]))
        ink = sheet.crop(box).resize((width, height), Image.Resampling.LANCZOS)
        image.paste(Image.eval(ink, lambda value: 255 - value), ((SIZE - width) // 2, (SIZE - height) // 2))
    return np.asarray(image.convert("RGB"))


def shape(pixels: np.ndarray) -> np.ndarray:
    """[32, 32, 3] int16: the drawing without its place and size, so that another crop of it looks the same."""
    ink = (pixels < INK).any(axis=-1)
    if not ink.any():
        raise SystemExit("an image is blank")
    tall, wide = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cut = Image.fromarray(pixels[tall[0] : tall[-1] + 1, wide[0] : wide[-1] + 1])
    return np.asarray(cut.resize((32, 32), Image.Resampling.BILINEAR)).astype(np.int16)


def rows(packages: Path, known: Pictograms) -> Iterator[dict[str, object]]:
    trained = {concept.id: i for i, concept in enumerate(known.concepts) if not concept.held_out}
    concepts, ways = read_concepts(packages)
    # All concepts are matched, so that an icon goes to the one it names; those trained on are rendered.
    images = {style: dict(source.draw(packages, concepts, ways, trained.keys())) for style, source in STYLES.items()}
    left_out: Counter[str] = Counter()
    for concept in concepts:
        if concept.hexcode not in trained:
            continue
        index = trained[concept.hexcode]
        fact = known.concepts[index]
        seen = [shape(pixels) for pixels in known.pixels[known.concept == index]]
        for style in STYLES:
            if concept.hexcode not in images[style]:
                continue
            image = images[style][concept.hexcode]
            one = shape(image)
            if min(np.abs(one - other).mean() for other in seen) < NEAR:
                left_out[style] += 1
                continue
            seen.append(one)
            yield {
                "concept": fact.id,
                "name": fact.name,
                "tags": list(fact.tags),
                "category": fact.category,
                "style": style,
                IMAGE: webp(image),
            }
    print(f"left out as near repeats: {dict(left_out)}", file=sys.stderr)


def version(packages: Path, source: Files | Icons | Glyphs) -> str:
    """As the package states it; of a font that is no npm package, the first digits of its sha256."""
    stated = packages / source.package / "package.json"
    if isinstance(source, Glyphs) and not stated.exists():
        return hashlib.sha256((packages / source.package / source.file).read_bytes()).hexdigest()[:12]
    return str(json.loads(stated.read_text(encoding="utf-8"))["version"])


def build(packages: Path, out: Path, pictograms: Path = PICTOGRAMS) -> None:
    """Writes the file whole or not at all."""
    table_rows = list(rows(packages, load_pictograms(pictograms)))
    facts = {
        "spae.image": f"lossless WebP, {SIZE}x{SIZE} RGB, on white",
        "spae.sources": json.dumps({s.package: version(packages, s) for s in STYLES.values()}, sort_keys=True),
        "spae.renderer": f"resvg-py {resvg_py.__version__}, Pillow {PIL.__version__}",
    }
    write(table_rows, facts, out, MAX_BYTES)
    print(dict(Counter(row["style"] for row in table_rows)), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the training styles' pictogram file from unpacked packages.")
    parser.add_argument("packages", type=Path, help="the node_modules folder that holds the packages")
    parser.add_argument("--out", type=Path, default=TRAINING_PICTOGRAMS)
    arguments = parser.parse_args()
    needed = [source.package for source in STYLES.values()] + ["emojibase-data"]
    missing = [package for package in dict.fromkeys(needed) if not (arguments.packages / package).is_dir()]
    if missing:
        raise SystemExit(f"{arguments.packages} lacks {', '.join(missing)}: put them there (see the top of this file)")
    build(arguments.packages, arguments.out)


if __name__ == "__main__":
    main()
