"""COCO captions: `captions_*.json` in the official format, and the images it names.

    coco/annotations/captions_val2014.json    coco/val2014/COCO_val2014_000000391895.jpg

    {"images":      [{"id": 391895, "file_name": "COCO_val2014_000000391895.jpg", ...}, ...],
     "annotations": [{"image_id": 391895, "id": 770337, "caption": "A man with a red helmet ..."}, ...]}

Chen et al., Microsoft COCO Captions, arXiv 1504.00325. Any data in this form will do, ids may be numbers or text. A
captions_train*.json beside it gives the examples that prompts show; without one they come from the same file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spae.data.annotations.annotated import Annotations, one_line
from spae.data.annotations.annotation_files import (
    AnnotatedFiles,
    AnnotationFile,
    file_inside,
    is_image_name,
    read_json,
    usual_folders,
)
from spae.data.issues import DataIssue
from spae.errors import DataError

PATTERN = "captions_*.json"
FORMAT = 'expected {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}'


class CaptionFile(AnnotationFile):
    """One annotation file.

    Attributes:
        folder: the folder of its images; None until `issues` has found it.
        files: image's file name, as the JSON has it -> the file.
        captions: file name -> captions, in the order of the JSON.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.folder: Path | None = None
        self.captions: dict[str, list[str]] = {}

    def counts(self) -> dict[str, int]:
        """Images and captions."""
        return {"images": len(self.captions), "captions": sum(map(len, self.captions.values()))}

    def issues(self) -> Iterator[DataIssue | None]:
        """See `AnnotationFile.issues`."""
        shown = self.path.name
        try:
            held = read_json(self.path)
        except DataError as error:
            yield DataIssue(shown, "", str(error))
            return
        images = held.get("images") if isinstance(held, dict) else None
        captions = held.get("annotations") if isinstance(held, dict) else None
        if not isinstance(images, list) or not isinstance(captions, list) or not images:
            yield DataIssue(shown, "", f"{shown} must hold a list of images and one of annotations: {FORMAT}")
            return
        names: dict[str, str] = {}
        for number, image in enumerate(images):
            message = self._image(image, names)
            yield DataIssue(shown, f"images[{number}]", message) if message else None
        for number, one in enumerate(captions):
            message = self._caption(one, names)
            yield DataIssue(shown, f"annotations[{number}]", message) if message else None
        for name, said in self.captions.items():
            if not said:
                yield DataIssue(
                    shown, "annotations", f"image {name!r} has no caption: add one or remove it from images"
                )
        yield from self._images()

    def _image(self, image: Any, names: dict[str, str]) -> str:
        if not isinstance(image, dict):
            return f"an image is an object, got {_short(image)}: {FORMAT}"
        key, name = image.get("id"), image.get("file_name")
        if not _is_id(key):
            return f"an image's id is a number or text, got {_short(key)}: correct it"
        if not isinstance(name, str) or not is_image_name(name):
            return f"an image's file_name must stay inside the folder of images, got {_short(name)}: correct it"
        if str(key) in names:
            return f"image id {key} is there twice: remove one"
        names[str(key)] = name
        if name in self.captions:
            return f"file {name!r} is there under two ids: remove one"
        self.captions[name] = []
        return ""

    def _caption(self, one: Any, names: Mapping[str, str]) -> str:
        if not isinstance(one, dict):
            return f"an annotation is an object, got {_short(one)}: {FORMAT}"
        key, text = one.get("image_id"), one.get("caption")
        if not _is_id(key) or str(key) not in names:
            return f"image_id {_short(key)} is no image's id: add the image or remove the caption"
        if not isinstance(text, str) or not text.strip():
            return f"the caption of image {key} must not be empty, got {_short(text)}: write one or remove it"
        try:
            text.encode()
        except UnicodeEncodeError:
            return f"the caption of image {key} has half a character in it ({text!a}): correct it"
        self.captions[names[str(key)]].append(one_line(text))
        return ""

    def _images(self) -> Iterator[DataIssue | None]:
        split = self.path.stem.removeprefix("captions_")
        folders = usual_folders(self.path.parent, split)
        self.folder = next((folder for folder in folders if self._has_some(folder)), None)
        if self.folder is None:
            looked = ", ".join(str(folder) for folder in folders)
            first = next(iter(self.captions), "none")
            yield DataIssue(
                self.path.name, "images", f"no folder with the images ({first}, ...) beside {self.path}, looked "
                f"into {looked}: put them into {self.path.parent / split}",
            )  # fmt: skip
            return
        for name in self.captions:
            try:
                file = file_inside(self.folder, name)
            except DataError as error:
                yield DataIssue(self.path.name, "images", str(error))
                continue
            if file is None:
                yield DataIssue(
                    self.path.name, "images", f"image {name!r} is not in {self.folder}: add it or remove it"
                )
                continue
            self.files[name] = file
            yield None

    def _has_some(self, folder: Path) -> bool:
        """Whether one of the first hundred images is there: a few may be missing, and are reported one by one."""
        return any((folder / name).is_file() for name in list(self.captions)[:100])


class CocoCaptions(AnnotatedFiles):
    """Captioned images as an `AnnotatedSet`; arguments and errors as of `AnnotatedFiles`, of caption files."""

    def __init__(self, queries: Path, examples: Path | None = None, *, name: str | None = None) -> None:
        super().__init__(queries, examples, name=name)
        count = sum(len(one.captions) for one in self.annotations.values())
        self.title = f"{queries.stem}: {len(self.query):,} images, {count:,} captions, in COCO's format"

    def _read(self, path: Path) -> tuple[str, ...]:
        """Adds one file's images; returns their ids."""
        source = CaptionFile(path)
        source.read()
        assert source.folder is not None
        ids = []
        for name, file in source.files.items():
            # Images of two files may share their names, not their folders.
            image = f"{source.folder.name}/{name}"
            if image in self._files:
                raise DataError(f"{path} has the image {image!r} of the other caption file: keep it in one")
            self._files[image] = file
            self._said[image] = Annotations(captions=tuple(source.captions[name]))
            ids.append(image)
        return tuple(sorted(ids))

    def _hashed(self, one: Annotations) -> object:
        return one.captions


def caption_files(path: Path) -> list[Path]:
    """The file to ask about, then the one to show examples of, if there is one.

    Args:
        path: a caption file; or a folder that has one, or one and captions_train*.json, in it or in annotations/.

    Raises:
        DataError: there is no such file, or several.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"no caption file or folder at {path}: check the path")
    found = sorted([*path.glob(PATTERN), *(path / "annotations").glob(PATTERN)])
    shown = [file for file in found if "train" in file.stem]
    asked = [file for file in found if file not in shown] or shown
    if len(asked) != 1 or len(shown) > 1:
        seen = ", ".join(file.name for file in found) or "none"
        raise DataError(
            f"a folder of captions has one {PATTERN}, with or without a captions_train*.json beside it (in it or in "
            f"annotations/), {path} has {seen}: give the path of the file itself"
        )
    return [*asked, *(file for file in shown if file not in asked)]


def _is_id(key: Any) -> bool:
    return isinstance(key, int | str) and not isinstance(key, bool)


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
