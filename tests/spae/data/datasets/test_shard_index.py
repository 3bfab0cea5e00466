"""Indexes of tar shards: offsets against tarfile's own reading, labels in three forms, and hostile archives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from spae.cache_folder import cache_folder
from spae.data.datasets import shard_index as module
from spae.data.datasets.shard_index import ShardIndex, shard_index
from spae.errors import DataError
from tests.spae.data.conftest import add, image_bytes, shard


def tar(path: Path, members: list[tuple[str, bytes]], **more: object) -> Path:
    with tarfile.open(path, "w", **more) as archive:
        for name, content in members:
            add(archive, name, content)
    return path


def content(path: Path, index: ShardIndex, row: int) -> bytes:
    return path.read_bytes()[index.offsets[row] : index.offsets[row] + index.sizes[row]]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_offsets_are_those_of_tarfile(tmp_path, kind):
    long = "deep/" * 30 + "é" * 20  # longer than a ustar name: GNU and PAX write headers of their own for it
    names = ["a.jpg", "sub/b.png", "sub/a.webp", *([f"{long}.jpg"] if kind != tarfile.USTAR_FORMAT else [])]
    path = tar(tmp_path / "a.tar", [(name, name.encode() * 50) for name in names], format=kind)
    index = shard_index(path)
    assert list(index.names) == names and index.bad == {} and set(index.labels) == {""}
    with tarfile.open(path) as archive:
        for row, name in enumerate(names):
            assert content(path, index, row) == archive.extractfile(name).read() == name.encode() * 50


@pytest.mark.parametrize(
    ("members", "label"),
    [
        pytest.param([("cls", b" 7\n")], "7", id="cls"),
        pytest.param([("cls", b"007")], "7", id="cls-zeros"),
        pytest.param([("txt", "sea lavender é\n".encode())], "sea lavender é", id="txt"),
        pytest.param([("json", b'{"label": 3, "x": 1}')], "3", id="json"),
        pytest.param([("json", b'{"wnid": "n01440764"}')], "n01440764", id="json-wnid"),
        pytest.param([("txt", b"seven"), ("json", b'{"label": 3}'), ("cls", b"7")], "7", id="cls-first"),
        pytest.param([("json", b'{"label": 3}'), ("txt", b"seven")], "seven", id="txt-before-json"),
        pytest.param([("json", b'{"width": 3}'), ("txt", b"seven")], "seven", id="json-of-other-things"),
        pytest.param([("other.txt", b"seven")], "", id="part-of-another-kind"),
    ],
)
@pytest.mark.parametrize("before", [True, False], ids=["label-first", "image-first"])
def test_labels(tmp_path, members, label, before):
    image = [("a/17.JPEG", b"x")]
    labels = [(f"a/17.{suffix}", value) for suffix, value in members]
    index = shard_index(tar(tmp_path / "a.tar", labels + image if before else image + labels))
    assert list(index.labels) == [label] and list(index.names) == ["a/17.JPEG"]


def test_one_kind_of_label_alone(tmp_path):
    path = tar(tmp_path / "a.tar", [("1.png", b"x"), ("1.cls", b"1"), ("1.json", b'{"label": "one"}')])
    assert list(shard_index(path, label="json").labels) == ["one"]
    assert list(shard_index(path, label="none").labels) == [""]


@pytest.mark.parametrize(
    "label",
    [
        pytest.param(("cls", b"seven"), id="no-number"),
        pytest.param(("cls", b""), id="empty"),
        pytest.param(("txt", b"caf\xe9"), id="latin-1"),
        pytest.param(("txt", b"a\x1b[31mb"), id="escape"),
        pytest.param(("txt", b"x" * 70_000), id="long"),
        pytest.param(("json", b"{"), id="torn-json"),
        pytest.param(("json", b"[" * 60_000), id="deep-json"),
        pytest.param(("json", b'{"label": [1]}'), id="list"),
        pytest.param(("json", b'{"label": true}'), id="truth"),
        pytest.param(("json", b'{"other": 1}'), id="no-key"),
    ],
)
def test_unreadable_label_drops_its_sample(tmp_path, label):
    path = tar(tmp_path / "a.tar", [("1.png", b"x"), (f"1.{label[0]}", label[1]), ("2.png", b"y"), ("2.cls", b"2")])
    index = shard_index(path)
    assert list(index.names) == ["2.png"] and list(index.bad) == [f"1.{label[0]}"]


@pytest.mark.parametrize("name", ["../up.png", "a/../../up.png", "/etc/up.png", "..\\up.png", "a/../b.png"], ids=repr)
def test_names_that_climb_out(tmp_path, name):
    index = shard_index(tar(tmp_path / "a.tar", [("1.png", b"x"), (name, b"y")]))
    assert list(index.names) == ["1.png"] and list(index.bad) == [name]
    assert "leads out of the archive" in index.bad[name] and not (tmp_path.parent / "up.png").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE], ids=repr)
def test_links_and_devices(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "1.png", b"x")
        member = tarfile.TarInfo("2.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    index = shard_index(tmp_path / "a.tar")
    assert list(index.names) == ["1.png"] and "link or no ordinary file" in index.bad["2.png"]


def test_two_images_of_one_sample(tmp_path):
    index = shard_index(tar(tmp_path / "a.tar", [("1.png", b"x"), ("1.jpg", b"y")]))
    assert list(index.names) == ["1.png"] and "second one" in index.bad["1.jpg"]


def test_files_left_behind_by_systems_are_ignored(tmp_path):
    index = shard_index(tar(tmp_path / "a.tar", [("./1.png", b"x"), ("._1.png", b"y"), ("README.md", b"z")]))
    assert list(index.names) == ["1.png"] and index.bad == {}


@pytest.mark.parametrize("cut", ["data", "header", "zeros"])
def test_torn_shard_keeps_what_is_whole(tmp_path, cut):
    path = tar(tmp_path / "a.tar", [("1.png", b"x" * 600), ("2.png", b"y" * 600)])
    whole = path.read_bytes()
    ends = {"data": 3 * 512 + 512 + 100, "header": 3 * 512 + 200, "zeros": 6 * 512}
    path.write_bytes(whole[: ends[cut]])
    index = shard_index(path)
    assert list(index.names) == (["1.png", "2.png"] if cut == "zeros" else ["1.png"])
    assert "ends in its middle" in index.bad["a.tar"]


def test_garbage_in_the_middle_is_reported(tmp_path):
    path = tar(tmp_path / "a.tar", [("1.png", b"x"), ("2.png", b"y"), ("3.png", b"z")])
    content = bytearray(path.read_bytes())
    content[2 * 512 : 3 * 512] = b"\xa5" * 512
    path.write_bytes(content)
    index = shard_index(path)
    assert list(index.names) == ["1.png"] and "ends in its middle" in index.bad["a.tar"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "does not read as a tar", id="empty"),
        pytest.param(b"hello" * 300, "does not read as a tar", id="text"),
        pytest.param(gzip.compress(b"x" * 2000), "packed with gzip", id="gzip"),
        pytest.param(b"\x28\xb5\x2f\xfd" + b"0" * 99, "packed with zstd", id="zstd"),
    ],
)
def test_no_tar(tmp_path, content, message):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        shard_index(tmp_path / "a.tar")
    assert "a.tar" in str(caught.value) and "\n" not in str(caught.value)


def test_made_once_and_again_when_the_file_changes(tmp_path, monkeypatch):
    path = shard(tmp_path / "a.tar", range(5))
    first = shard_index(path)
    assert len(list((cache_folder() / "shards").glob("*.npz"))) == 1
    monkeypatch.setattr(module, "_read", lambda *_: pytest.fail("read again"))
    second = shard_index(path)
    assert np.array_equal(first.offsets, second.offsets) and np.array_equal(first.sizes, second.sizes)
    assert list(first.names) == list(second.names) and list(first.labels) == list(second.labels)
    monkeypatch.undo()
    monkeypatch.setenv("SPAE_CACHE", str(cache_folder()))
    shard(path, range(7))
    assert len(shard_index(path).names) == 7


def test_torn_cache_is_rebuilt(tmp_path):
    path = shard(tmp_path / "a.tar", range(5))
    shard_index(path)
    (kept,) = (cache_folder() / "shards").glob("*.npz")
    for content in (b"", b"PK\x03\x04 no archive", kept.read_bytes()[:300]):
        kept.write_bytes(content)
        assert len(shard_index(path).names) == 5


def test_labels_survive_the_cache(tmp_path):
    path = tar(tmp_path / "a.tar", [("é.png", b"x"), ("é.txt", "naïve".encode()), ("/b.png", b"")])
    for _ in range(2):
        index = shard_index(path)
        assert (list(index.names), list(index.labels), list(index.bad)) == (["é.png"], ["naïve"], ["/b.png"])


def test_sizes_that_lie(tmp_path):
    """A header that claims more bytes than the archive has."""
    member = tarfile.TarInfo("1.png")
    member.size = 1 << 40
    stream = io.BytesIO(member.tobuf() + b"x" * 1024)
    (tmp_path / "a.tar").write_bytes(stream.getvalue())
    with pytest.raises(DataError, match="does not read as a tar"):
        shard_index(tmp_path / "a.tar")


def test_json_keys_in_order(tmp_path):
    record = json.dumps({"class": "b", "label": "a"}).encode()
    assert list(shard_index(tar(tmp_path / "a.tar", [("1.png", b"x"), ("1.json", record)])).labels) == ["a"]


def test_image_bytes_come_back(tmp_path):
    path = shard(tmp_path / "a.tar", [3, 9])
    assert content(path, shard_index(path), 1) == image_bytes(9)


def test_members_in_no_sample_are_counted_by_ending(tmp_path):
    """Names with a dot in their stem, by webdataset's rule parts of another kind; and what belongs to no image."""
    passed = ["00003.x.jpg", "d/00004.x.jpg", "1.seg.png", "README.md", "._1.png", "9.cls", "8.txt", "LICENSE"]
    path = tar(tmp_path / "a.tar", [(name, b"7") for name in ("1.png", *passed)])
    for _ in range(2):  # then from the cache
        index = shard_index(path)
        assert list(index.names) == ["1.png"] and index.bad == {}
        assert index.passed_over == {
            ".x.jpg": (2, "00003.x.jpg"),
            ".seg.png": (1, "1.seg.png"),
            ".md": (1, "README.md"),
            "._1.png": (1, "._1.png"),
            ".cls": (1, "9.cls"),
            ".txt": (1, "8.txt"),
            ".": (1, "LICENSE"),
        }


def test_countless_endings_are_counted_together(tmp_path):
    path = tar(tmp_path / "a.tar", [("1.png", b""), *((f"1.part{number}", b"") for number in range(150))])
    passed = shard_index(path).passed_over
    assert len(passed) == module.MOST_ENDINGS + 1 and passed["of other endings"] == (50, "1.part100")
