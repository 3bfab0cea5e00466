# ruff: noqa: E501 (tables)
"""Published archives: the same set packed and unpacked, and one error for each thing that can be wrong."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import spae.data.archives.file_tree
import spae.data.archives.tar_tree
from spae.data.archives.archive_set import ArchiveSet
from spae.data.archives.few_shot import FewShotArchive, named_class
from spae.data.protocol import HoldsEpisodes, ImageSet
from spae.errors import CorruptImage, DataError
from tests.spae.data.published import Archive, huge_png, jpeg

KINDS = ((1, 2), (3, 2), (1, 5))
FIRST = "real_name_mi_shots_1_ways_2_id_0_"


def test_packed_and_unpacked_are_one_set(tmp_path: Path) -> None:
    made = Archive(kinds=KINDS)
    paths = [made.pack(tmp_path), made.pack(tmp_path, "w"), made.unpack(tmp_path / "here")]
    sets = [ArchiveSet(path) for path in paths]
    assert len({one.fingerprint for one in sets}) == 1
    assert len({one.classes for one in sets}) == 1
    assert sets[0].episodes(3, 2) == sets[1].episodes(3, 2) == sets[2].episodes(3, 2)
    name = f"{FIRST}image_2.jpg"
    truth = np.asarray(Image.open(io.BytesIO(made.files[name])))
    for one in sets:
        assert np.array_equal(one.image(name), truth)
        assert isinstance(one, ImageSet) and isinstance(one, HoldsEpisodes)
        assert one.kinds == ((1, 2), (3, 2), (1, 5))
        with pytest.raises(DataError, match="has no file"):
            one.image("../secret.jpg")


def test_what_a_question_becomes(tmp_path: Path) -> None:
    one = ArchiveSet(Archive(kinds=KINDS).pack(tmp_path))
    episode = one.episodes(1, 2)[1]
    # Question 1 of the fixture: classes 1 and 2 of its list, the second is right.
    assert (episode.id, episode.classes, episode.answer) == ("1", ("vase", "ant"), "ant")
    stem = "real_name_mi_shots_1_ways_2_id_1_"
    assert episode.support == ((f"{stem}image_1.jpg", "vase"), (f"{stem}image_2.jpg", "ant"))
    assert episode.query == f"{stem}question.jpg"
    assert [label for _, label in one.episodes(3, 2)[0].support] == ["lion", "vase"] * 3


def test_examples_class_by_class_are_put_in_turn(tmp_path: Path) -> None:
    made = Archive(kinds=((3, 2),))
    row = made.rows[3, 2][0]
    for i in range(6):
        row[f"caption_{i + 1}"] = "This is a lion" if i < 3 else "This is a vase"
    (first, *_) = ArchiveSet(made.pack(tmp_path)).episodes(3, 2)
    assert [label for _, label in first.support] == ["lion", "vase"] * 3
    assert [name[-5] for name, _ in first.support] == ["1", "4", "2", "5", "3", "6"]


def test_the_index_is_kept_and_a_changed_archive_is_read_again(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Archive()
    path = made.pack(tmp_path)
    first = ArchiveSet(path).fingerprint
    assert {file.suffix for file in (own_cache / "archives").iterdir()} == {".json", ".points"}
    looked: list[str] = []
    check = spae.data.archives.file_tree.check_header
    monkeypatch.setattr(
        spae.data.archives.file_tree, "check_header", lambda source, shown: (looked.append(shown), check(source, shown))
    )
    assert ArchiveSet(path).fingerprint == first and not looked
    made.files[f"{FIRST}image_1.jpg"] = jpeg(99)
    assert ArchiveSet(made.pack(tmp_path)).fingerprint != first and len(looked) == 12


def test_a_image_deep_in_a_large_archive(tmp_path: Path) -> None:
    """Over several points of the index: random bytes do not shrink, 24 MB of them are six stretches."""
    made = Archive()
    noise = np.random.default_rng(0).bytes(24_000_000)
    path = made.pack(tmp_path, change=lambda files: files.update({"real_name_mi/filler.txt": noise}))
    last = list(made.files)[-1]
    truth = np.asarray(Image.open(io.BytesIO(made.files[last])))
    for _ in range(2):
        assert np.array_equal(FewShotArchive(path).image(last), truth)


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("This is a lion.", "lion"), ("this is an ant", "ant"), ("lion", "lion"), ("A school bus", "school bus"),
        ("This is dax.", "dax"), ("This is the vase .", "vase"), ("antelope", "antelope"), ("a", "a"),
        ("This is a theater curtain", "theater curtain"), ("These are lions.", "lions"), ("The vase!", "vase"),
        ("thistle", "thistle"), ("This is a", "a"), ("...", "..."), ("anteater", "anteater"),
    ],
)  # fmt: skip
def test_class_of_a_caption(caption: str, name: str) -> None:
    assert named_class(caption) == name


def test_wordnet_ids_take_their_names(tmp_path: Path) -> None:
    made = Archive()
    ids = {
        "lion": "n02129165",
        "vase": "n04522168",
        "ant": "n02219486",
        "king crab": "n01981276",
        "trifle": "n07613480",
    }
    for row in made.rows[1, 2]:
        for key in ("caption_1", "caption_2"):
            row[key] = ids[named_class(row[key])]
        row["answer"] = ids[row["answer"]]
    one = ArchiveSet(made.pack(tmp_path))
    assert [each.name for each in one.classes] == ["ant", "king crab", "lion", "trifle", "vase"]
    (tmp_path / "words.txt").write_text("n02129165 big cat\n" + "".join(f"{i} x{i}\n" for i in list(ids.values())[1:]))
    assert "big cat" in [each.name for each in ArchiveSet(made.pack(tmp_path), classes=tmp_path / "words.txt").classes]


def row(change: dict[str, Any] | None = None, drop: str | None = None) -> Callable[[Archive], None]:
    """Changes question 2 of the archive."""

    def apply(made: Archive) -> None:
        made.rows[1, 2][2].update(change or {})
        if drop:
            del made.rows[1, 2][2][drop]

    return apply


def files(name: str, content: bytes | None) -> Callable[[Archive], None]:
    def apply(made: Archive) -> None:
        if content is None:
            del made.files[name]
        else:
            made.files[name] = content

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(row(drop="image_2"), r"\[2\]: must have image_1 to image_2.*got 1 images", id="one-less"),
        pytest.param(row({"image_3": "x.jpg"}), r"\[2\]: must have image_1 to image_2.*got 3", id="one-more"),
        pytest.param(row(drop="question_id"), r"\[2\]\.question_id: must be a number", id="no-id"),
        pytest.param(row({"question_id": 0}), r"\[2\]\.question_id: ids must differ, '0' is \[0\]'s too", id="id-twice"),
        pytest.param(row({"question_id": "a/../b"}), r"\[2\]\.question_id", id="odd-id"),
        pytest.param(row(drop="caption_1"), r"\[2\]\.caption_1: must be printable text, got nothing", id="no-caption"),
        pytest.param(row({"caption_1": " "}), r"\[2\]\.caption_1: must be printable text", id="empty-caption"),
        pytest.param(row({"answer": 3}), r"\[2\]\.answer: must be printable text, got 3", id="no-text"),
        pytest.param(row({"answer": "zebra"}), r"answer must be one of the classes.*got 'zebra'", id="other-answer"),
        pytest.param(row({"caption_2": "This is a ant"}), "captions must name 2 classes 1 times", id="one-class"),
        pytest.param(row({"image_1": "gone.jpg"}), r"\[2\]\.image_1: names 'gone.jpg', which is not in", id="missing"),
        pytest.param(row({"image_1": "../up.jpg"}), r"\[2\]\.image_1: .*must not lead out", id="parent"),
        pytest.param(row({"image_1": "/etc/passwd"}), r"\[2\]\.image_1: .*must not lead out", id="absolute"),
        pytest.param(row({"image_1": f"{FIRST}image_1.jpg", "image_2": f"{FIRST}image_1.jpg"}), "stand in a question twice",
                     id="image-twice"),
        pytest.param(files(f"{FIRST}image_1.jpg", None), r"\[0\]\.image_1: names .*not in the archive", id="lost-file"),
        pytest.param(files(f"{FIRST}image_1.jpg", b"no image"), r"\[0\]\.image_1: .*does not decode", id="no-image"),
        pytest.param(files(f"{FIRST}image_1.jpg", huge_png()), r"\[0\]\.image_1: .*pixels, at most 64,000,000", id="100-megapixel"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "folder"])
def test_a_broken_question_is_one_clear_error(
    tmp_path: Path, spoil: Callable[[Archive], None], message: str, packed: bool
) -> None:
    made = Archive()
    spoil(made)
    path = made.pack(tmp_path) if packed else made.unpack(tmp_path / "here")
    with pytest.raises(DataError, match=message) as caught:
        ArchiveSet(path)
    assert (
        "\n" not in str(caught.value) and str(path) in str(caught.value) and "_all_questions.json" in str(caught.value)
    )


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", content: bytes = b"") -> Any:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    return info, content


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        pytest.param(member("../evil.jpg", content=b"x"), "must not lead out", id="parent"),
        pytest.param(member("real_name_mi/../../evil.jpg", content=b"x"), "must not lead out", id="parent-inside"),
        pytest.param(member("/tmp/evil.jpg", content=b"x"), "must not lead out", id="absolute"),
        pytest.param(member("a\\..\\evil.jpg", content=b"x"), "must not lead out", id="backslash"),
        pytest.param(member("real_name_mi/l.jpg", tarfile.SYMTYPE, "/etc/passwd"), "is a link to '/etc/passwd'", id="symlink"),
        pytest.param(member("real_name_mi/dir", tarfile.SYMTYPE, "/"), "is a link to '/'", id="symlink-to-folder"),
        pytest.param(member("real_name_mi/h.jpg", tarfile.LNKTYPE, "/etc/passwd"), "is a link to", id="hard-link"),
        pytest.param(member("real_name_mi/f.jpg", tarfile.FIFOTYPE), "no ordinary file", id="pipe"),
        pytest.param(member("real_name_mi/d.jpg", tarfile.CHRTYPE), "no ordinary file", id="device"),
        pytest.param(member(f"real_name_mi/{FIRST}image_1.jpg", content=b"x"), "in the archive twice", id="twice"),
        pytest.param(member("real_name_mi/a\x1b[31m.jpg", content=b"x"), "printable", id="escape"),
    ],
)  # fmt: skip
def test_hostile_members_are_refused(tmp_path: Path, own_cache: Path, odd: Any, message: str) -> None:
    made = Archive()
    made.odd.append(odd)
    path = made.pack(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=message) as caught:
        ArchiveSet(path)
    assert str(path) in str(caught.value) and "\x1b" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before and not list(own_cache.rglob("*"))


def test_bad_lists(tmp_path: Path) -> None:
    name = "real_name_mi/real_name_mi_shots_1_ways_2_all_questions.json"
    cases = {
        "must be UTF-8 text": '[{"question_id": "é"}]'.encode("latin-1"),
        "must be JSON": b"[{]",
        "must be a list of questions, got dict": b"{}",
        "has 'question_id' twice": b'[{"question_id": 1, "question_id": 2}]',
        "holds no question": b"[]",
        "must be an object, got int": b"[1]",
        "must be JSON .*recursion": b"[" * 200_000,
    }
    for message, content in cases.items():
        path = Archive().pack(tmp_path, change=lambda files, content=content: files.update({name: content}))
        with pytest.raises(DataError, match=message):
            ArchiveSet(path)


def test_no_or_two_tasks(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(DataError, match="holds no file TASK_shots_N_ways_M"):
        ArchiveSet(tmp_path / "empty.tar")
    Archive("real_name_mi").unpack(tmp_path / "both")
    Archive("open_ended_mi").unpack(tmp_path / "both")
    with pytest.raises(DataError, match=r"several tasks \(open_ended_mi, real_name_mi\)"):
        ArchiveSet(tmp_path / "both")
    with pytest.raises(DataError, match="has no questions of 5 shots and 5 ways: it has 1-shot 2-way"):
        ArchiveSet(Archive().pack(tmp_path)).episodes(5, 5)


def test_cut_short_or_no_archive(tmp_path: Path) -> None:
    whole = Archive().pack(tmp_path).read_bytes()
    flipped = whole[:2000] + bytes([whole[2000] ^ 255]) + whole[2001:]
    for content in (
        whole[: len(whole) // 2],
        whole[:-200],
        flipped,
        b"\x1f\x8b" + b"x" * 100,
        b"plain text, no archive" * 100,
    ):
        (tmp_path / "bad.tar.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.tar\.gz does not read as a whole"):
            ArchiveSet(tmp_path / "bad.tar.gz")
    (tmp_path / "bad.tar.gz").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(DataError, match=r"packed with zip"):
        ArchiveSet(tmp_path / "bad.tar.gz")


def test_bombs_are_refused_by_what_they_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spae.data.archives.tar_tree, "LEAST_ROOM", 1_000_000)
    info = tarfile.TarInfo("real_name_mi/zeros.bin")  # no image: it would be passed over, and still be unpacked
    info.size = 50_000_000
    with gzip.open(tmp_path / "bomb.tar.gz", "wb") as stream:
        stream.write(info.tobuf())
        for _ in range(50):
            stream.write(bytes(1_000_000))
        stream.write(bytes(1024))
    with pytest.raises(DataError, match="would unpack to more than"):
        ArchiveSet(tmp_path / "bomb.tar.gz")
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8_000_000_000
    (tmp_path / "header.tar").write_bytes(info.tobuf() + bytes(4096))
    with pytest.raises(DataError, match="header of 8,000,000,000 bytes"):
        ArchiveSet(tmp_path / "header.tar")
    made = Archive()
    monkeypatch.setattr(spae.data.archives.file_tree, "MOST_IMAGE", 1000)
    made.files[f"{FIRST}image_1.jpg"] = bytes(1001)
    with pytest.raises(DataError, match="has 1,001 bytes, at most 1,000"):
        ArchiveSet(made.pack(tmp_path))


def test_links_of_a_folder_stay_inside(tmp_path: Path) -> None:
    folder = Archive().unpack(tmp_path / "here")
    (tmp_path / "secret.jpg").write_bytes(jpeg(1))
    (folder / "same.jpg").symlink_to(f"{FIRST}image_1.jpg")
    ArchiveSet(folder)
    (folder / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DataError, match=r"out\.jpg: is a link that leads out"):
        ArchiveSet(folder)


def test_a_image_that_breaks_behind_its_header(tmp_path: Path) -> None:
    made = Archive()
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(stream, "PNG")
    made.files[f"{FIRST}image_1.jpg"] = stream.getvalue()[:3000]
    one = ArchiveSet(made.pack(tmp_path))
    with pytest.raises(CorruptImage, match=r"image_1\.jpg"):
        one.image(f"{FIRST}image_1.jpg")
