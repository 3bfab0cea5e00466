"""Images as users name them."""

from __future__ import annotations

import pytest

from spae.data.image_paths import image_paths


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.JPG", "deep/er/c.webp", ".hidden.png", ".git/d.png", "notes.txt"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def test_a_folder_gives_its_images_by_name(folder):
    paths, wrong = image_paths([folder])
    assert [str(path.relative_to(folder)) for path in paths] == ["a.JPG", "b.png", "deep/er/c.webp"] and not wrong


def test_each_once_in_the_order_named(folder):
    paths, wrong = image_paths([folder / "b.png", folder / "notes.txt", folder, folder / "b.png"])
    assert [path.name for path in paths] == ["b.png", "notes.txt", "a.JPG", "c.webp"] and not wrong


def test_what_leads_to_no_image_is_said(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    paths, wrong = image_paths([tmp_path / "gone.png", tmp_path / "empty", folder / "b.png"])
    assert [path.name for path in paths] == ["b.png"]
    assert [str(error).split(":")[0] for error in wrong] == [
        f"there is no image or folder {tmp_path}/gone.png",
        f"folder {tmp_path}/empty holds no image (.bmp, .gif, .jpeg, .jpg, .png, .webp)",
    ]


def test_links_stay_inside(folder, tmp_path):
    (tmp_path / "secret.png").touch()
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "in.png").symlink_to(folder / "b.png")
    (folder / "loop").symlink_to(folder)
    (folder / "broken.png").symlink_to(folder / "gone.png")
    paths, wrong = image_paths([folder])
    assert [path.name for path in paths] == ["a.JPG", "b.png", "broken.png", "c.webp", "in.png"]
    assert len(wrong) == 1 and "out.png leads out of" in str(wrong[0])
