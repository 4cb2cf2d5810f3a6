"""The measure of `benchmarks/objects_quality.py`: what counts as found, and how the halves are used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.objects_quality import (
    Photo,
    Score,
    Thing,
    best_threshold,
    main,
    matched,
    overlap,
    photos_of,
    report,
    score_at,
)
from tests.support.stages_fixtures import stop_sign

DOG = Thing("dog", (0, 0, 10, 10))
FAR = Thing("dog", (50, 50, 60, 60))


def test_overlap_is_intersection_over_union():
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (20, 20, 30, 30)) == 0
    assert overlap((5, 5, 5, 5), (5, 5, 5, 5)) == 0


def test_a_label_and_half_of_the_box_count():
    assert matched([Thing("dog", (0, 0, 10, 5), 0.9)], [DOG]) == Score(1, 1, 1)
    assert matched([Thing("dog", (0, 0, 10, 4.9), 0.9)], [DOG]) == Score(0, 1, 1)
    assert matched([Thing("cat", (0, 0, 10, 10), 0.9)], [DOG]) == Score(0, 1, 1)
    assert matched([], [DOG]) == Score(0, 0, 1)
    assert matched([DOG], []) == Score(0, 1, 0)


def test_each_thing_is_found_once():
    twice = [Thing("dog", (0, 0, 10, 10), 0.9), Thing("dog", (0, 0, 10, 9), 0.8)]
    assert matched(twice, [DOG, FAR]) == Score(1, 2, 2)


def test_the_best_score_chooses_first_and_takes_what_it_covers_best():
    near = Thing("dog", (0, 0, 10, 8))
    # The worse one covers only DOG enough, which the better one leaves to it.
    better, worse = Thing("dog", (0, 0, 10, 7.5), 0.9), Thing("dog", (0, 0, 10, 15), 0.3)
    assert matched([worse, better], [DOG, near]) == Score(2, 2, 2)


def test_precision_recall_and_f1():
    score = Score(1, 2, 2) + Score(1, 1, 4)
    assert (score.precision, score.recall, score.f1) == (pytest.approx(2 / 3), pytest.approx(1 / 3), 4 / 9)
    assert (Score(0, 0, 3).precision, Score(0, 0, 0).recall, Score(0, 0, 0).f1) == (0, 0, 0)


def test_the_threshold_is_chosen_on_the_first_half_only():
    photos = [Photo(Path(f"{number}.jpg"), (DOG,)) for number in range(4)]
    right, wrong = Thing("dog", DOG.box, 0.5), Thing("cat", DOG.box, 0.4)
    found = [[right, wrong], [right], [right, wrong], [Thing("dog", DOG.box, 0.3)]]
    assert best_threshold(photos[::2], found[::2]) == 0.45
    assert score_at(0.2, photos, found) == Score(4, 6, 4)
    threshold, tuned, held_out = report(photos, found)
    assert "0.45" in threshold
    assert "P 1.00 R 1.00 F1 1.000" in tuned
    assert "P 1.00 R 0.50 F1 0.667" in held_out


def test_a_folder_is_measured_through_the_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = []
    for name in ("b.jpg", "a.jpg"):
        stop_sign().save(tmp_path / name)
        sign = {"label": "stop sign", "box_xywh": [190, 90, 260, 260]}
        rows.append({"image": name, "width": 640, "height": 480, "objects": [sign]})
    (tmp_path / "objects.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [photo.path.name for photo in photos_of(tmp_path)] == ["a.jpg", "b.jpg"]
    assert photos_of(tmp_path)[0].things == (Thing("stop sign", (190, 90, 450, 350)),)
    main([str(tmp_path), "floor=0.25"])
    said = capsys.readouterr().out
    assert "2 photos" in said
    assert "held out: P 1.00 R 1.00 F1 1.000 (1 right of 1, 1 expected)" in said


@pytest.mark.parametrize("wrong", [["floor=2"], ["detector=./nothing"], ["colour=red"]])
def test_a_setting_that_is_wrong_is_said(tmp_path: Path, wrong: list[str]):
    (tmp_path / "objects.jsonl").write_text("")
    with pytest.raises(SystemExit, match=r"floor|nothing|colour"):
        main([str(tmp_path), *wrong])
    with pytest.raises(SystemExit, match="usage"):
        main([str(tmp_path / "nothing"), *wrong])
