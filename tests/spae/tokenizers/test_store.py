"""The token store: what it keeps, drops and shares between processes."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spae.errors import InputError
from spae.tokenizers import store as store_module
from spae.tokenizers.store import FILE, TokenStore, decoding_sha256, image_sha256
from spae.tokens import ImageTokens

DEEP = ImageTokens(((1,), (2, 3)), (("a",), ("b", "é")), ((1, 1), (1, 2)))


def tokens_of(number: int) -> ImageTokens:
    return ImageTokens(((number,),), ((f"w{number}",),), ((1, 1),))


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path)


def change(folder: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(folder / FILE) as db:
        db.execute(statement, values)
    db.close()


def test_tokens_come_back_in_another_process_of_the_store(store, tmp_path):
    store.put_many("t", {"x": DEEP})
    again = TokenStore(tmp_path)
    assert again.get_many("t", ["x", "y"], 2) == {"x": DEEP}
    assert again.get_many("other", ["x"], 1) == {}
    assert (again.stats().hits, again.stats().misses, again.stats().entries) == (1, 2, 1)


def test_deeper_tokens_serve_fewer_layers_but_not_more(store):
    store.put_many("t", {"x": DEEP, "y": tokens_of(4)})
    assert store.get_many("t", ["x", "y"], 1) == {"x": DEEP.first_layers(1), "y": tokens_of(4)}
    assert store.get_many("t", ["x", "y"], 2) == {"x": DEEP}


def test_reconstructions_come_back(store):
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    key = decoding_sha256(DEEP, (1, 2))
    store.put_pixels("t", {key: pixels})
    assert np.array_equal(store.get_pixels("t", [key])[key], pixels)
    assert decoding_sha256(DEEP, (1,)) == decoding_sha256(DEEP.first_layers(1), (1,)) != key


def test_the_shape_of_an_image_is_part_of_its_hash():
    pixels = np.arange(24, dtype=np.uint8)
    hashes = {image_sha256(pixels.reshape(shape)) for shape in ((2, 4, 3), (4, 2, 3), (1, 8, 3))}
    assert len(hashes | {image_sha256(pixels.reshape(2, 4, 3).astype(np.int8))}) == 4
    assert image_sha256(np.asfortranarray(pixels.reshape(2, 4, 3))) in hashes


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE entries SET value = zeroblob(length(value))", id="zeroed"),
        pytest.param("UPDATE entries SET value = substr(value, 1, 9)", id="cut short"),
        pytest.param("UPDATE entries SET checksum = zeroblob(32)", id="checksum"),
        pytest.param("UPDATE entries SET item = 'y', kind = 'tokens'", id="under another key"),
        pytest.param("UPDATE entries SET value = 'text'", id="text"),
    ],
)
def test_a_damaged_entry_is_dropped_counted_and_logged_once(store, tmp_path, statement, caplog):
    store.put_many("t", {"x": tokens_of(1)})
    store.put_many("t", {"z": tokens_of(2)}) if "item" not in statement else None
    change(tmp_path, statement)
    with caplog.at_level(logging.WARNING):
        assert store.get_many("t", ["x", "y", "z"], 1) == {}
    assert store.stats().damaged == (1 if "item" in statement else 2) and store.stats().entries == 0
    assert [record.message.count("damaged entry") for record in caplog.records] == [1]


def test_a_value_that_would_unpack_to_too_much_is_damaged(store, monkeypatch):
    store.put_pixels("t", {"x": np.zeros((100, 100, 3), np.uint8)})
    monkeypatch.setattr(store_module, "LARGEST_VALUE", 1000)
    assert store.get_pixels("t", ["x"]) == {} and store.stats().damaged == 1


def test_a_damaged_file_is_replaced(tmp_path, caplog):
    (tmp_path / FILE).write_bytes(b"not a database" * 100)
    store = TokenStore(tmp_path)
    store.put_many("t", {"x": DEEP})
    assert TokenStore(tmp_path).get_many("t", ["x"], 2) == {"x": DEEP}
    assert store.stats().damaged == 1 and not store.stats().in_memory and "is damaged" in caplog.text


def test_a_file_damaged_while_open_is_replaced(store, tmp_path):
    store.put_many("t", {str(i): tokens_of(i) for i in range(500)})
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * (path.stat().st_size - 100))
    store._db.execute("PRAGMA shrink_memory")
    fresh = TokenStore(tmp_path)
    assert fresh.get_many("t", ["1"], 1) == {}
    fresh.put_many("t", {"x": DEEP})
    assert fresh.get_many("t", ["x"], 2) == {"x": DEEP} and fresh.stats().damaged >= 1


def test_a_folder_that_cannot_be_made_leaves_the_store_in_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("", "utf-8")
    store = TokenStore(tmp_path / "file")
    store.put_many("t", {"x": DEEP})
    assert store.get_many("t", ["x"], 2) == {"x": DEEP}
    assert store.stats().in_memory and caplog.text.count("kept in memory") == 1


def test_pruning_deletes_what_was_used_longest_ago(store, tmp_path):
    # Random, so that they do not compress: 3 kB each.
    noise = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    for i in range(100):
        store.put_pixels("t", {str(i): noise[i]})
        change(tmp_path, "UPDATE entries SET used = ? WHERE item = ?", 1000 + i, str(i))
    assert list(store.get_pixels("t", ["0"])) == ["0"], "reading stamps it"
    deleted = store.prune(150_000)
    assert 50 <= deleted < 100 and store.stats().bytes <= 150_000
    left = store.get_pixels("t", [str(i) for i in range(100)])
    assert "0" in left and "1" not in left and "99" in left and len(left) == 100 - deleted
    assert store.prune(0) == len(left) and store.stats().entries == 0


def test_the_store_stays_within_its_limit(tmp_path):
    store = TokenStore(tmp_path, limit_bytes=200_000)
    noise = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    for i in range(300):
        store.put_pixels("t", {str(i): noise[i]})
        assert store.stats().bytes <= 200_000
    assert list(store.get_pixels("t", ["299", "0"])) == ["299"]
    with pytest.raises(InputError, match="must be positive, got 0"):
        TokenStore(tmp_path, limit_bytes=0)


def test_two_processes_share_it(store, tmp_path):
    code = (
        "import sys; from pathlib import Path; from spae.tokens import ImageTokens\n"
        "from spae.tokenizers.store import TokenStore\n"
        "store = TokenStore(Path(sys.argv[1]))\n"
        "for i in range(int(sys.argv[2]), int(sys.argv[2]) + 100):\n"
        "    store.put_many('t', {str(i): ImageTokens(((i,),), ((f'w{i}',),), ((1, 1),))})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), start]) for start in ("0", "50")]
    for i in range(200, 220):
        store.put_many("t", {str(i): tokens_of(i)})
    assert [process.wait(120) for process in running] == [0, 0]
    wanted = {str(i): tokens_of(i) for i in (*range(150), *range(200, 220))}
    assert store.get_many("t", list(wanted), 1) == wanted and store.stats().damaged == 0


def test_many_keys_in_one_call(store):
    wanted = {str(i): tokens_of(i) for i in range(1203)}
    store.put_many("t", wanted)
    assert store.get_many("t", [*wanted, *wanted], 1) == wanted
