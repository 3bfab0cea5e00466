"""The run's folder: appending, crashes, resuming."""

import json
import subprocess
import sys

import pytest

from results.errors import RecordError, RunDiffers, RunExists
from results.record import Call
from results.run_facts import RunFacts
from results.store import RunStore

CONFIG = {"task": "a", "seed": 0, "backend": {"name": "smollm2", "dtype": "bfloat16"}, "layers": (1, 2)}


def test_records_come_back_in_order_and_equal(tmp_path, key, of):
    store = RunStore.create(tmp_path, CONFIG, resume=False)
    records = [of(key(), i) for i in range(5)]
    store.append(records[:2], [Call(record=records[0].id, cached=True, seconds=0.0)])
    store.append(records[2:])
    again = RunStore.open(tmp_path)
    assert again.records == records and again.calls == store.calls
    assert records[4].id in again and "x" not in again
    assert again.config["backend"]["name"] == "smollm2" and again.notes == ()


def test_replayed_records_are_the_same_bytes_whatever_the_calls(tmp_path, key, of):
    for name, cached in (("live", False), ("replay", True)):
        store = RunStore.create(tmp_path / name, CONFIG, resume=False)
        for i in range(3):
            record = of(key(), i)
            store.append([record], [Call(record=record.id, cached=cached, seconds=0.1 * i)])
    read = [(tmp_path / name / "records.jsonl").read_bytes() for name in ("live", "replay")]
    assert read[0] == read[1]
    assert (tmp_path / "live/calls.jsonl").read_bytes() != (tmp_path / "replay/calls.jsonl").read_bytes()


@pytest.mark.parametrize("keep", [1, 40, -1])
def test_a_torn_last_line_is_dropped_with_a_note_and_made_again(tmp_path, key, of, keep):
    records = [of(key(), i) for i in range(3)]
    RunStore.create(tmp_path, CONFIG, resume=False).append(records)
    path = tmp_path / "records.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:keep])

    read = RunStore.open(tmp_path)
    assert read.records == records[:2] and len(read.notes) == 1 and "cut short" in read.notes[0]
    assert path.read_bytes() != b"".join(lines[:2]), "reading changes nothing"

    store = RunStore.create(tmp_path, CONFIG, resume=True)
    store.append([records[2]])
    assert path.read_bytes() == whole


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(tmp_path, key, of):
    RunStore.create(tmp_path, CONFIG, resume=False).append([of(key(), i) for i in range(3)])
    path = tmp_path / "records.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:50], lines[2]]) + "\n")
    with pytest.raises(RecordError, match="line 2"):
        RunStore.open(tmp_path)


def test_records_of_another_configuration_are_refused_with_the_difference(tmp_path, key, of):
    RunStore.create(tmp_path, CONFIG, resume=False).append([of(key())])
    other = CONFIG | {"seed": 1, "backend": {"name": "smollm2", "dtype": "float32"}, "limit": 5}
    for resume in (True, False):
        with pytest.raises(RunDiffers, match="pass another --out") as caught:
            RunStore.create(tmp_path, other, resume=resume)
        text = str(caught.value)
        assert "seed: 0 there, 1 asked for" in text and "limit: nothing there, 5 asked for" in text
        assert 'backend.dtype: "bfloat16" there, "float32" asked for' in text and "layers" not in text
        assert not isinstance(caught.value, RunExists) and "\n" not in text
        assert [tuple(one) for one in caught.value.differences] == [
            ("backend.dtype", '"bfloat16"', '"float32"'), ("limit", None, "5"), ("seed", "0", "1"),
        ]  # fmt: skip


def test_an_existing_run_needs_resume_or_restart(tmp_path, key, of):
    RunStore.create(tmp_path, CONFIG, resume=False).append([of(key())])
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(RunExists, match="1 record of this run: resume it"):
        RunStore.create(tmp_path, CONFIG, resume=False)
    assert len(RunStore.create(tmp_path, CONFIG, resume=True).records) == 1
    assert RunStore.restart(tmp_path, CONFIG).records == []
    assert (tmp_path / "mine.txt").exists() and not (tmp_path / "records.jsonl").exists()


def test_a_run_that_ended_before_its_first_record_gives_way(tmp_path):
    RunStore.create(tmp_path, CONFIG, resume=False)
    assert RunStore.create(tmp_path, CONFIG | {"seed": 9}, resume=False).config["seed"] == 9


def test_records_without_a_run_file_are_not_overwritten(tmp_path):
    (tmp_path / "records.jsonl").write_text("precious")
    with pytest.raises(RecordError, match=r"has only records\.jsonl"):
        RunStore.create(tmp_path, CONFIG, resume=False)
    assert (tmp_path / "records.jsonl").read_text() == "precious"


def test_a_file_is_no_place_for_a_run(tmp_path):
    (tmp_path / "notes").write_text("mine")
    for folder in (tmp_path / "notes", tmp_path / "notes" / "run"):
        with pytest.raises(RecordError, match="pass another --out"):
            RunStore.create(folder, CONFIG)
    assert (tmp_path / "notes").read_text() == "mine"


def test_an_edited_configuration_is_noticed(tmp_path):
    RunStore.create(tmp_path, CONFIG, resume=False)
    held = json.loads((tmp_path / "run.json").read_text())
    held["config"]["seed"] = 7
    (tmp_path / "run.json").write_text(json.dumps(held))
    with pytest.raises(RecordError, match="was changed"):
        RunStore.open(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"config": 3, "sha256": "x"}'])
def test_a_broken_run_file_is_one_clear_error(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordError, match="run"):
        RunStore.open(tmp_path)


def test_no_run_there(tmp_path):
    with pytest.raises(RecordError, match="pass the --out of a run"):
        RunStore.open(tmp_path / "nowhere")


def test_a_record_is_appended_once_and_a_call_needs_its_record(tmp_path, key, of):
    store = RunStore.create(tmp_path, CONFIG, resume=False)
    store.append([of(key())])
    with pytest.raises(RecordError, match="twice"):
        store.append([of(key())])
    with pytest.raises(RecordError, match="twice"):
        store.append([of(key(), 1), of(key(), 1)])
    with pytest.raises(RecordError, match="there is none of id"):
        store.append([], [Call(record="stray", cached=False, seconds=0)])
    assert len(RunStore.open(tmp_path).records) == 1


def test_a_configuration_is_plain_json(tmp_path):
    with pytest.raises(RecordError, match="plain JSON"):
        RunStore.create(tmp_path, {"path": tmp_path}, resume=False)


def failed(record):
    fields = record.model_dump(include=set(type(record).model_fields) - {"status", "scores", "reply", "prediction"})
    return type(record)(**fields | {"status": "failed", "scores": {}, "reply": None, "prediction": None})


def test_a_failed_record_is_replaced_and_no_other(tmp_path, key, of):
    records = [of(key(), i) for i in range(3)]
    store = RunStore.create(tmp_path, CONFIG)
    store.append([records[0], failed(records[1]), records[2]])
    assert [record.id in store for record in records] == [True, False, True]

    again = RunStore.create(tmp_path, CONFIG)
    assert [record.status for record in again.records] == ["scored", "failed", "scored"]
    again.append([records[1]])
    assert again.records == records and records[1].id in again
    with pytest.raises(RecordError, match="twice"):
        again.append([records[1]])
    # A kill may come here: the file holds both lines, and the later one counts.
    assert len((tmp_path / "records.jsonl").read_bytes().splitlines()) == 4
    assert RunStore.open(tmp_path).records == records
    again.arrange(record.id for record in records)
    assert (tmp_path / "records.jsonl").read_text() == "".join(record.line() + "\n" for record in records)


def test_answers_out_of_order_end_in_the_order_of_the_plan(tmp_path, key, of):
    records = [of(key(), i) for i in range(5)]
    store = RunStore.create(tmp_path, CONFIG)
    for i in (3, 0, 4, 1):
        store.append([records[i]], sync=False)
    store.sync()
    store.arrange([records[i].id for i in (0, 1, 2, 3)])  # one is not made yet, and one is in no order
    assert [record.sample_id for record in store.records] == [records[i].sample_id for i in (0, 1, 3, 4)]
    assert RunStore.open(tmp_path).records == store.records
    store.append([records[2]])
    store.arrange(record.id for record in records)
    assert RunStore.open(tmp_path).records == records


def test_arranging_what_is_in_order_writes_nothing(tmp_path, key, of, monkeypatch):
    store = RunStore.create(tmp_path, CONFIG)
    records = [of(key(), i) for i in range(3)]
    store.append(records)
    monkeypatch.setattr("results.store.write_text", None)
    store.arrange(record.id for record in records)


def test_another_process_is_kept_out_until_the_first_is_gone(tmp_path, key, of):
    store = RunStore.create(tmp_path, CONFIG)
    store.append([of(key())])
    program = (
        "import sys, pathlib; from results.errors import RecordError; from results.store import RunStore\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "assert len(RunStore.open(folder).records) == 1\n"
        "for make in (RunStore.create, RunStore.restart):\n"
        "    try: make(folder, {})\n"
        "    except RecordError as error: print(error)"
    )

    def told():
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert told().count("another process writes to") == 2
    store.close()
    assert "another process" not in told()


def test_a_restart_removes_the_figures_of_the_earlier_report_and_no_other_file(tmp_path, key, of):
    store = RunStore.create(tmp_path, CONFIG)
    store.append([of(key())])
    figure = store.write_figure("settings-1", b"\x89PNG")
    assert figure.name == "figure-settings-1.png" and figure.read_bytes() == b"\x89PNG"
    (tmp_path / "mine.png").write_bytes(b"x")
    store.close()
    RunStore.restart(tmp_path, CONFIG)
    assert not figure.exists() and (tmp_path / "mine.png").exists()


def test_the_order_of_the_tokenizers_survives_the_file(tmp_path):
    RunStore.create(tmp_path, {"tokenizers": {"spae": {}, "lqae": {}, "a": {}}})
    assert RunFacts.of(RunStore.open(tmp_path).config).reference == "spae"
