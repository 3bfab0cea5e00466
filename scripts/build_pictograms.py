"""Builds spae/data/embedded/pictograms.parquet from seven openly licensed pictogram sets.

The sets come as npm packages; nothing else is fetched. In an empty folder outside the repository:

    npm install --ignore-scripts @iconify-json/noto @iconify-json/noto-v1 @iconify-json/fluent-emoji \\
        @iconify-json/fluent-emoji-flat @iconify-json/fxemoji @iconify-json/twemoji @iconify-json/emojione \\
        emojibase-data
    python scripts/build_pictograms.py THAT_FOLDER/node_modules

A concept is a row of emojibase-data in one of five groups. An icon belongs to it where the icon's name, letters and
digits only, equals the concept's CLDR name, its Unicode character name or one of its shortcodes, tried in that order
over all concepts, so that a nickname never takes an icon from the concept it really names. Where a set lists its
icons' code points, every match is checked against that list. Concepts available in fewer than six styles, or not in the
held-out style, are left out, as are variants of skin tone (they have their own hex codes and are not read). A set that
draws two concepts alike to the pixel (fxemoji's two hourglasses) gives its image to the first.

Rows are ordered by Unicode's own order and then by style; with the packages and libraries of the file's metadata the
bytes come out the same again. Cost: about four minutes on one core.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import resvg_py
from PIL import Image

from spae.data.embedded.pictogram_file import IMAGE

# name of the style -> npm package; the order is the order of rows inside a concept.
SETS = {
    "noto": "@iconify-json/noto",
    "noto-v1": "@iconify-json/noto-v1",
    "fluent-emoji": "@iconify-json/fluent-emoji",
    "fluent-emoji-flat": "@iconify-json/fluent-emoji-flat",
    "fxemoji": "@iconify-json/fxemoji",
    "twemoji": "@iconify-json/twemoji",
    "emojione": "@iconify-json/emojione",
}
HELD_OUT_STYLE = "emojione"
MIN_STYLES = 6
GROUPS = {3: "animals-nature", 4: "food-drink", 5: "travel-places", 6: "activities", 7: "objects"}
SHORTCODES = ("cldr", "emojibase", "emojibase-legacy", "github", "iamcal", "joypixels")
SIZE = 64
FORMAT_VERSION = "1"
MAX_BYTES = 10_000_000

# CLDR names that say something an image does not, or that do not read as a thing. Everything else keeps its CLDR name.
RENAMED = {
    "hourglass done": "hourglass",
    "hourglass not done": "hourglass with flowing sand",
    "1st place medal": "first place medal",
    "2nd place medal": "second place medal",
    "3rd place medal": "third place medal",
    "pool 8 ball": "billiard ball",
    "mahjong red dragon": "mahjong tile",
    "lady beetle": "ladybug",
    "optical disk": "compact disc",
    "e-mail": "email",
    "moai": "moai statue",
    "bullseye": "bullseye target",
}

Json = dict[str, object]


@dataclass(frozen=True)
class Source:
    """One concept as emojibase-data states it."""

    hexcode: str
    label: str
    tags: tuple[str, ...]
    category: str
    order: int


class IconSet:
    """One set of SVG bodies, by icon name; aliases lead to the icon they copy."""

    def __init__(self, folder: Path) -> None:
        data = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
        self.icons: dict[str, Json] = data["icons"]
        self.aliases: dict[str, Json] = data.get("aliases", {})
        self.width, self.height = data.get("width", 16), data.get("height", 16)
        chars = folder / "chars.json"
        self.by_code: dict[str, str] = json.loads(chars.read_text(encoding="utf-8")) if chars.exists() else {}
        self.by_key: dict[str, str] = {}
        for name in [*self.icons, *self.aliases]:
            self.by_key.setdefault(key(name), self.root(name))

    def root(self, name: str) -> str:
        """The icon an alias copies. One that turns or mirrors its icon is another image, not rendered here."""
        while name in self.aliases:
            alias = self.aliases[name]
            if set(alias) - {"parent", "hidden"}:
                return name
            name = str(alias["parent"])
        return name

    def pixels(self, name: str) -> np.ndarray:
        """[64, 64, 3] uint8: the icon on white, its longer side filling the square."""
        icon = self.icons[name]
        box = [icon.get("left", 0), icon.get("top", 0), icon.get("width", self.width), icon.get("height", self.height)]
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{SIZE}" height="{SIZE}" viewBox="{" ".join(map(str, box))}">{icon["body"]}</svg>'
        )
        return rendered(svg, name)


def rendered(svg: str, name: str) -> np.ndarray:
    """[64, 64, 3] uint8: a whole SVG, which states that size, on white."""
    png = resvg_py.svg_to_bytes(svg_string=svg, background="#ffffff", skip_system_fonts=True)
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    if image.shape != (SIZE, SIZE, 3):
        raise SystemExit(f"{name}: rendered {image.shape}, expected {(SIZE, SIZE, 3)}")
    return image


def key(name: str) -> str:
    """Letters and digits only, so that `hot-dog`, `hotdog` and `Hot dog` meet."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def plain(text: str) -> str:
    """Lower-case ASCII; curly apostrophes and long dashes become straight and short."""
    folded = unicodedata.normalize("NFKD", text.replace("\u2019", "'").replace("\u2013", "-"))
    return " ".join(folded.encode("ascii", "ignore").decode().lower().split())


def read_concepts(packages: Path) -> tuple[list[Source], list[Callable[[Source], list[str]]]]:
    """The concepts of the five groups, and the ways to name one, best first."""
    folder = packages / "emojibase-data"
    unicode_names: dict[str, str] = json.loads((folder / "meta/unicode-names.json").read_text(encoding="utf-8"))
    concepts = [
        Source(row["hexcode"], row["label"], tuple(row.get("tags", ())), GROUPS[row["group"]], row["order"])
        for row in json.loads((folder / "en/data.json").read_text(encoding="utf-8"))
        if row.get("group") in GROUPS
    ]
    ways: list[Callable[[Source], list[str]]] = [
        lambda concept: [concept.label],
        lambda concept: [unicode_names.get(concept.hexcode, "")],
    ]
    for name in SHORTCODES:
        table: dict[str, str | list[str]] = json.loads(
            (folder / f"en/shortcodes/{name}.json").read_text(encoding="utf-8")
        )

        def codes(concept: Source, table: dict[str, str | list[str]] = table) -> list[str]:
            found = table.get(concept.hexcode, [])
            return [found] if isinstance(found, str) else found

        ways.append(codes)
    return sorted(concepts, key=lambda concept: concept.order), ways


def match(concepts: list[Source], ways: list[Callable[[Source], list[str]]], icons: IconSet) -> dict[str, str]:
    """Hex code -> icon name. No icon serves two concepts."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for way in ways:
        for concept in concepts:
            if concept.hexcode in found:
                continue
            for name in way(concept):
                icon = icons.by_key.get(key(name)) if name else None
                if icon in icons.icons and icon not in taken:
                    found[concept.hexcode] = icon
                    taken.add(icon)
                    break
    for concept in concepts:
        listed = icons.by_code.get(concept.hexcode.lower())
        if listed and concept.hexcode in found and icons.root(listed) != found[concept.hexcode]:
            raise SystemExit(f"{concept.label}: matched {found[concept.hexcode]}, the set lists {listed}")
    return found


def concept_names(concepts: list[Source]) -> dict[str, str]:
    """Hex code -> the text an LLM is shown. `face` goes where no concept without it remains to be confused with."""
    names = {concept.hexcode: RENAMED.get(concept.label, plain(concept.label)) for concept in concepts}
    for hexcode, name in list(names.items()):
        short = name.removesuffix(" face")
        if short not in names.values():
            names[hexcode] = short
    if len(set(names.values())) != len(names):
        raise SystemExit("two concepts have the same name: add one of them to RENAMED")
    return names


def webp(pixels: np.ndarray) -> bytes:
    """Lossless WebP, the smallest Pillow makes; decoding gives the same pixels, and this checks it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=100, method=6, exact=True)
    decoded = np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"))
    if not np.array_equal(decoded, pixels):
        raise SystemExit("an image does not come back from WebP as it went in")
    return buffer.getvalue()


def rows(packages: Path) -> Iterator[dict[str, object]]:
    concepts, ways = read_concepts(packages)
    sets = {style: IconSet(packages / package) for style, package in SETS.items()}
    matches = {style: match(concepts, ways, icons) for style, icons in sets.items()}
    kept = [
        concept
        for concept in concepts
        if sum(concept.hexcode in found for found in matches.values()) >= MIN_STYLES
        and concept.hexcode in matches[HELD_OUT_STYLE]
    ]
    names = concept_names(kept)
    seen: set[tuple[str, bytes]] = set()
    for concept in kept:
        tags = list(dict.fromkeys(tag for tag in map(plain, concept.tags) if tag and tag != names[concept.hexcode]))
        for style, icons in sets.items():
            if concept.hexcode in matches[style]:
                image = webp(icons.pixels(matches[style][concept.hexcode]))
                if (style, image) in seen:
                    print(f"left out: {names[concept.hexcode]} of {style} shows another concept", file=sys.stderr)
                    continue
                seen.add((style, image))
                yield {
                    "concept": concept.hexcode,
                    "name": names[concept.hexcode],
                    "tags": tags,
                    "category": concept.category,
                    "style": style,
                    IMAGE: image,
                }


def build(packages: Path, out: Path) -> None:
    """Writes the file whole or not at all."""
    table_rows = list(rows(packages))
    counts = Counter(row["concept"] for row in table_rows)
    if min(counts.values()) < MIN_STYLES:
        raise SystemExit(f"{min(counts, key=counts.__getitem__)} has fewer than {MIN_STYLES} images left")
    versions = {
        package: json.loads((packages / package / "package.json").read_text(encoding="utf-8"))["version"]
        for package in [*SETS.values(), "emojibase-data"]
    }
    facts = {
        "spae.held_out_style": HELD_OUT_STYLE,
        "spae.image": f"lossless WebP, {SIZE}x{SIZE} RGB, on white",
        "spae.sources": json.dumps(versions, sort_keys=True),
        "spae.renderer": f"resvg-py {resvg_py.__version__}",
    }
    write(table_rows, facts, out, MAX_BYTES)


def write(table_rows: list[dict[str, object]], facts: dict[str, str], out: Path, max_bytes: int) -> None:
    """One row an image; `facts` go into the file's metadata."""
    schema = pa.schema(
        [
            ("concept", pa.string()),
            ("name", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("category", pa.string()),
            ("style", pa.string()),
            (IMAGE, pa.binary()),
        ],
        metadata={"spae.format": "pictograms", "spae.format_version": FORMAT_VERSION, **facts},
    )
    part = out.with_name(out.name + ".part")
    # The images are compressed already; the text columns shrink well as dictionaries.
    pq.write_table(
        pa.Table.from_pylist(table_rows, schema=schema),
        part,
        compression="zstd",
        use_dictionary=["concept", "name", "tags.list.element", "category", "style"],
        write_statistics=False,
        row_group_size=len(table_rows),
    )
    size = part.stat().st_size
    if size >= max_bytes:
        part.unlink()
        raise SystemExit(f"the file would have {size} bytes, the limit is {max_bytes}")
    os.replace(part, out)
    concepts = len({row["concept"] for row in table_rows})
    print(f"{out}: {concepts} concepts, {len(table_rows)} images, {size} bytes", file=sys.stderr)


def main() -> None:
    default = Path(__file__).resolve().parent.parent / "spae" / "data" / "embedded" / "pictograms.parquet"
    parser = argparse.ArgumentParser(description="Build the embedded pictogram file from unpacked npm packages.")
    parser.add_argument("packages", type=Path, help="the node_modules folder that holds the packages")
    parser.add_argument("--out", type=Path, default=default)
    arguments = parser.parse_args()
    missing = [p for p in [*SETS.values(), "emojibase-data"] if not (arguments.packages / p / "package.json").exists()]
    if missing:
        raise SystemExit(
            f"{arguments.packages} lacks {', '.join(missing)}: npm install them there (see the top of this file)"
        )
    build(arguments.packages, arguments.out)


if __name__ == "__main__":
    main()
