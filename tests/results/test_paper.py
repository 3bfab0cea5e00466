"""The paper's rows against numbers read off the printed tables."""

from results.paper import caption, paper_rows


def test_rows_of_five_way():
    rows = paper_rows("miniimagenet-5way")
    assert [(row.title, row.layers, row.tokens, row.table) for row in rows] == [
        ("Frozen", None, None, 1), ("LQAE", 1, 256, 1), ("SPAE (GPT)", 2, 5, 1), ("SPAE (PaLM)", 1, 1, 5),
        ("SPAE (PaLM)", 2, 5, 5), ("SPAE (PaLM)", 3, 21, 5), ("SPAE (PaLM)", 4, 85, 5), ("SPAE (PaLM)", 5, 341, 5),
        ("SPAE (PaLM)", 6, 597, 5),
    ]  # fmt: skip
    assert rows[5].percent["average"] == 61.86 and rows[5].percent["i1-s3-r0"] == 73.7
    assert rows[-1].percent["i1-s3-r0"] is None and len(rows[-1].percent) == 8


def test_rows_of_two_way_have_the_disjoint_ones():
    rows = paper_rows("miniimagenet-2way")
    assert len(rows) == 11 and rows[-1].title == "SPAE (PaLM, disjoint)" and rows[-1].percent["average"] == 74.98


def test_other_tasks_have_no_rows():
    assert paper_rows("reconstruction") == paper_rows("coco-captioning") == paper_rows("nothing") == ()


def test_rows_of_questions_are_on_other_data():
    frozen, spae = paper_rows("real-fast-vqa")
    assert (frozen.title, frozen.layers, frozen.table) == ("Frozen", None, 3)
    assert spae.percent == {"shots=1": 14.3, "shots=3": 15.9, "shots=5": 15.1}
    assert "on Real-Fast-VQA with" in caption("real-fast-vqa") and "on mini-ImageNet with" in caption("nothing")
