"""Episodes against the rule written in the docstring, and the manifest that keeps them."""

import hashlib
import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spae.data.protocol import ClassImages
from tasks.errors import EpisodeError, ManifestError, TaskInputError
from tasks.fewshot.episodes import Episode, Manifest, sample_episodes
from tasks.settings import SETTING_IDS, Setting

TASK = "miniimagenet-5way"


def _reference(key, items, count):
    """The documented draw, transcribed: take the r-th of what is left, moving the first of the rest into the gap."""
    rest, taken = list(items), []
    for i in range(count):
        number = int(hashlib.sha256(f"{key}#{i}".encode()).hexdigest()[:16], 16)
        at = number % len(rest)  # a rejection has probability below 2**-58
        taken.append(rest[at])
        rest[at] = rest[0]
        rest.pop(0)
    return taken


@pytest.mark.parametrize("ways", [2, 5])
@pytest.mark.parametrize("k", [0, 7])
def test_episode_follows_the_documented_rule(make_set, ways, k):
    data = make_set()
    episode = sample_episodes(TASK, data, ways, ["i1-s3-r0"], seed=11, limit=8).of("i1-s3-r0")[k]
    by_name = {one.name: one for one in data.classes}
    key = f"spae-fewshot-1/{ways}/11"
    classes = _reference(f"{key}/classes/{k}", sorted(by_name), ways)
    answer = classes[_reference(f"{key}/place/{k // ways}", range(ways), ways)[k % ways]]
    query = _reference(f"{key}/query/{k}", sorted(by_name[answer].query), 1)[0]
    examples = {
        name: _reference(f"{key}/support/{k}/{name}", sorted(set(by_name[name].support) - {query}), 3)
        for name in classes
    }
    assert episode.classes == tuple(classes)
    assert (episode.target, episode.query) == (answer, query)
    assert episode.support == tuple((examples[name][shot], name) for shot in range(3) for name in classes)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("ways", [2, 5])
def test_settings_are_nested_and_paired(make_set, ways, apart):
    manifest = sample_episodes(TASK, make_set(apart=apart), ways, SETTING_IDS, seed=0, limit=20)
    widest = manifest.of("i1-s5-r0")
    for setting in SETTING_IDS:
        shots = Setting.parse(setting).shots
        for episode, wide in zip(manifest.of(setting), widest, strict=True):
            assert (episode.classes, episode.target, episode.query) == (wide.classes, wide.target, wide.query)
            assert episode.support == wide.support[: shots * ways]
            assert len(episode.support) == shots * ways
            assert [label for _, label in episode.support] == list(episode.classes) * shots
            assert episode.query not in dict(episode.support)
            assert episode.images == (*dict(episode.support), episode.query)
            assert episode.setting == setting


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(-3, 10**12),
    small=st.integers(1, 12),
    more=st.integers(0, 12),
    ways=st.sampled_from([2, 5]),
    apart=st.booleans(),
    wanted=st.lists(st.sampled_from(SETTING_IDS), min_size=1, unique=True),
)
def test_a_smaller_limit_is_the_start_of_a_larger_one(make_set, seed, small, more, ways, apart, wanted):
    data = make_set(apart=apart)
    few = sample_episodes(TASK, data, ways, wanted, seed, small)
    many = sample_episodes(TASK, data, ways, [*SETTING_IDS], seed, small + more)
    for setting in wanted:
        assert few.of(setting) == many.of(setting)[:small]
        assert all(episode.query not in dict(episode.support) for episode in few.of(setting))


def test_the_draw_never_changes(make_set):
    manifest = sample_episodes(TASK, make_set(), 5, SETTING_IDS, seed=0, limit=5)
    assert manifest.fingerprint == "0f13b98e03e1e7d587a4ebac7d4c7ebb16abdb31a3518fd3a76a50091dfcd39f"
    assert manifest.of("i1-s1-r0")[0].id == "5way-seed0-i1-s1-r0-0000"


def test_the_order_in_which_data_lists_does_not_matter(make_set):
    data = make_set(apart=False)
    turned = tuple(ClassImages(one.name, one.support[::-1], one.query[::-1]) for one in data.classes[::-1])
    first = sample_episodes(TASK, data, 5, SETTING_IDS, 1, 4)
    assert sample_episodes(TASK, replace(data, classes=turned), 5, SETTING_IDS, 1, 4) == first


def test_other_seeds_tasks_and_images_give_other_fingerprints(make_set):
    data = make_set()
    base = sample_episodes(TASK, data, 5, ["i1-s1-r0"], 0, 10)
    for other in (
        sample_episodes(TASK, data, 5, ["i1-s1-r0"], 1, 10),
        sample_episodes(TASK, replace(data, fingerprint="1" * 64), 5, ["i1-s1-r0"], 0, 10),
        sample_episodes("miniimagenet-2way", data, 2, ["i1-s1-r0"], 0, 10),
    ):
        assert other.fingerprint != base.fingerprint
        assert {e.fingerprint for e in other.episodes}.isdisjoint(e.fingerprint for e in base.episodes)
    assert len({episode.fingerprint for episode in sample_episodes(TASK, data, 5, SETTING_IDS, 0, 10).episodes}) == 70


@pytest.mark.parametrize("ways", [2, 5])
def test_answers_are_balanced(make_set, ways):
    episodes = sample_episodes(TASK, make_set(classes=10), ways, ["i1-s1-r0"], seed=0, limit=500).episodes
    places = [episode.classes.index(episode.target) for episode in episodes]
    assert Counter(places) == dict.fromkeys(range(ways), 500 // ways)
    for block in range(0, 500, ways):
        assert sorted(places[block : block + ways]) == list(range(ways))
    orders = {tuple(places[block : block + ways]) for block in range(0, 500, ways)}
    assert len(orders) == 2 if ways == 2 else len(orders) > 50  # 68 of 120 are expected in 100 blocks
    answers = Counter(episode.target for episode in episodes)
    assert len(answers) == 10
    assert sum((count - 50) ** 2 / 50 for count in answers.values()) < 27.9  # chi-square, 9 degrees, p = 0.001


def test_folder_needs_one_image_more_than_the_shots(make_set):
    assert sample_episodes(TASK, make_set(5, 6, apart=False), 5, ["i1-s5-r0"], 0, 3).eligible == 5
    with pytest.raises(EpisodeError, match=r"i1-s5-r0 needs 5 classes with 5 images .* only with 3"):
        sample_episodes(TASK, make_set(5, 5, apart=False), 5, ["i1-s5-r0"], 0, 3)


def test_too_few_images_names_what_can_be_run(make_set):
    with pytest.raises(EpisodeError) as caught:
        sample_episodes(TASK, make_set(images=3), 5, SETTING_IDS, 0, 3)
    assert "--setting i0-s1-r0,i1-s1-r0,i1-s3-r0,i1-s1-r1,i1-s1-r3,i1-s1-r5" in str(caught.value)
    assert "\n" not in str(caught.value)
    sample_episodes(
        TASK, make_set(images=3), 5, ["i0-s1-r0", "i1-s1-r0", "i1-s3-r0", "i1-s1-r1", "i1-s1-r3", "i1-s1-r5"], 0, 3
    )


def test_classes_with_few_images_or_no_query_are_left_out(make_set):
    rich, poor = make_set(6, 5), make_set(9, 2)
    blind = ClassImages("unseen", tuple(f"u{i}" for i in range(9)), ())
    data = replace(rich, classes=(*rich.classes, *poor.classes[6:], blind))
    manifest = sample_episodes(TASK, data, 5, SETTING_IDS, 0, 30)
    assert manifest.eligible == 6
    assert {name for episode in manifest.episodes for name in episode.classes} == {one.name for one in rich.classes}


@pytest.mark.parametrize(
    ("classes", "ways", "fix"),
    [(4, 5, "--task miniimagenet-2way"), (1, 5, "--data"), (1, 2, "--data"), (0, 2, "--data")],
)
def test_too_few_classes(make_set, classes, ways, fix):
    with pytest.raises(EpisodeError, match=f"{ways}-way episodes need {ways} classes .* has {classes} .*{fix}"):
        sample_episodes(TASK, make_set(classes), ways, ["i1-s1-r0"], 0, 1)


def test_a_class_of_one_image_cannot_be_asked_about_and_shown(make_set):
    with pytest.raises(EpisodeError, match="has 0 \\(of 8 classes\\)"):
        sample_episodes(TASK, make_set(8, 1, apart=False), 2, ["i1-s1-r0"], 0, 1)


@pytest.mark.parametrize("name", ["thing 01", "Thing 01", "thing  01 "])
def test_two_classes_of_one_name(make_set, name):
    data = make_set()
    other = ClassImages(name, ("a", "b"), ("c",))
    with pytest.raises(EpisodeError, match="class names must differ"):
        sample_episodes(TASK, replace(data, classes=(*data.classes, other)), 2, ["i1-s1-r0"], 0, 1)


@pytest.mark.parametrize("name", ["", " ", "two\nlines"])
def test_names_that_cannot_stand_in_a_prompt(make_set, name):
    data = make_set()
    with pytest.raises(EpisodeError, match="one line of text"):
        sample_episodes(
            TASK, replace(data, classes=(*data.classes, ClassImages(name, ("a",), ("b",)))), 2, ["i1-s1-r0"], 0, 1
        )


def test_an_image_of_two_classes(make_set):
    data = make_set()
    other = ClassImages("other thing", ("a", "b"), data.classes[0].support[:1])
    with pytest.raises(EpisodeError, match="must have one class"):
        sample_episodes(TASK, replace(data, classes=(*data.classes, other)), 2, ["i1-s1-r0"], 0, 1)


def test_limit_and_settings_are_checked(make_set):
    with pytest.raises(TaskInputError, match="1 to 10,000"):
        sample_episodes(TASK, make_set(), 5, SETTING_IDS, 0, 0)
    with pytest.raises(TaskInputError, match="unknown setting"):
        sample_episodes(TASK, make_set(), 5, ["i1-s2-r0"], 0, 1)
    with pytest.raises(TaskInputError, match="has the settings i1-s1-r0, got 'i0-s1-r0'"):
        sample_episodes(TASK, make_set(), 5, ["i1-s1-r0"], 0, 1).of("i0-s1-r0")


def test_manifest_comes_back_as_it_was(make_set, tmp_path):
    manifest = sample_episodes(TASK, make_set(), 5, SETTING_IDS, 0, 4)
    path = tmp_path / "deep" / "manifest.json"
    manifest.save(path)
    manifest.save(path)
    assert Manifest.load(path) == manifest
    assert [file.name for file in path.parent.iterdir()] == ["manifest.json"]
    text = json.loads(path.read_text())
    content = {name: value for name, value in text.items() if name != "fingerprint"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert text["fingerprint"] == hashlib.sha256(canonical.encode()).hexdigest()


def test_manifest_knows_its_data(make_set):
    data = make_set()
    manifest = sample_episodes(TASK, data, 5, ["i1-s1-r0"], 0, 4)
    manifest.check_source(TASK, data)
    with pytest.raises(ManifestError, match="fingerprint 000000000000, 'toys' has 111111111111"):
        manifest.check_source(TASK, replace(data, fingerprint="1" * 64))


def _swap_query(content):
    content["episodes"][0]["query"] = content["episodes"][0]["support"][0][0]


def _other_answer(content):
    episode = content["episodes"][0]
    episode["answer"] = next(name for name in episode["classes"] if name != episode["answer"])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content.pop("seed"), id="field missing"),
        pytest.param(lambda content: content.update(extra=1), id="field unknown"),
        pytest.param(lambda content: content.update(version=2), id="version"),
        pytest.param(lambda content: content.update(seed=5), id="seed"),
        pytest.param(lambda content: content.update(data_fingerprint="1"), id="data"),
        pytest.param(lambda content: content["episodes"].pop(), id="episode missing"),
        pytest.param(lambda content: content["episodes"].reverse(), id="order"),
        pytest.param(_swap_query, id="query is shown"),
        pytest.param(_other_answer, id="answer"),
    ],
)
def test_damaged_manifest(make_set, tmp_path, damage):
    path = tmp_path / "manifest.json"
    sample_episodes(TASK, make_set(), 5, ["i1-s1-r0", "i1-s3-r0"], 0, 2).save(path)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match="is broken") as caught:
        Manifest.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"version": 1'])
def test_not_a_manifest(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match="is broken"):
        Manifest.load(path)


def test_missing_manifest(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ManifestError, match="cannot be read"):
            Manifest.load(path)


def test_failed_save_leaves_the_old_file(make_set, tmp_path, monkeypatch):
    path = tmp_path / "manifest.json"
    path.write_text("old")

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("spae.atomic.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        sample_episodes(TASK, make_set(), 5, ["i1-s1-r0"], 0, 1).save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    "change",
    [
        {"target": "zebra"},
        {"classes": ("lion", "lion")},
        {"support": (("v1", "vase"), ("l1", "lion"))},
        {"support": (("l1", "lion"), ("v1", "vase"), ("l2", "lion"))},
        {"support": ()},
        {"query": "l1", "images": ("l1", "v1", "l1")},
        {"images": ("l1", "v1")},
    ],
)
def test_an_episode_is_checked(make_episode, change):
    good = make_episode(("lion", "vase"), "i1-s1-r0", 1)
    with pytest.raises(ValidationError):
        Episode.model_validate({**good.model_dump(), **change})
