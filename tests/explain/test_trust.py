"""What a sheet says of the network: whether it learned anything, and whether its probabilities can be believed."""

import json

import numpy as np
import pytest

from xaibench.__main__ import call


@pytest.fixture
def films_task():
    from pathlib import Path

    return f"{Path(__file__).with_name('toy_networks.py')}:Films"


def test_random_weights_are_told_loudly_everywhere(explain, film, films_task):
    code, answer, said = explain(film, model="Learns", task=films_task)
    (told,) = answer["films"]
    assert code == 0
    assert told["weights"]["trained"] is False
    assert "UNTRAINED" in told["warnings"][0]
    assert "WARNING: this network is untrained" in said
    assert "xaibench run" in said


def test_weights_that_a_run_has_made_are_found(explain, film, films_task, capsys):
    toys = films_task.removesuffix(":Films")
    common = ["--tasks", films_task, "--explainers", f"{toys}:Brightness", "--metrics", "seconds", "--no-references"]
    assert call(["run", "--models", f"{toys}:Learns", *common, "--no-audit", "--out", "results"]) == 0
    capsys.readouterr()
    _, answer, said = explain(film, "--results", "results", model="Learns", task=films_task)
    (told,) = answer["films"]
    assert told["weights"]["trained"] is True
    assert told["warnings"] == []
    assert "untrained" not in said
    # scale 3: logits 0 and 0.375
    assert told["probabilities"]["right"] == pytest.approx(1 / (1 + np.exp(-0.375)))


def test_calibration_is_that_of_the_same_weights_on_their_test_images(explain, film, films_task, capsys):
    toys = films_task.removesuffix(":Films")
    common = ["--tasks", films_task, "--explainers", f"{toys}:Brightness", "--metrics", "seconds", "--no-references"]
    assert call(["run", "--models", f"{toys}:Halves", *common, "--no-audit", "--out", "results"]) == 0
    capsys.readouterr()
    _, answer, _ = explain(film, "--results", "results", task=films_task)
    # Brighter half 0.5 + 0.05 n against 0.2: the network is sure by sigmoid(0.3 + 0.05 n); wrong for n = 0 and 4.
    sure = 1 / (1 + np.exp(-(0.3 + 0.05 * np.arange(8))))
    right = np.array([0, 1, 1, 1, 0, 1, 1, 1])
    bins = np.minimum((sure * 10).astype(int), 9)
    expected = sum(abs((sure - right)[bins == at].sum()) for at in range(10)) / 8
    known = answer["films"][0]["calibration"]
    assert known["error"] == pytest.approx(expected)
    assert (known["accuracy"], known["images"]) == (0.75, 8)
    # Other weights: of them nothing is known.
    _, answer, _ = explain(film, "--results", "results", model="Louder", task=films_task)
    assert answer["films"][0]["calibration"] is None
    assert "not known to be calibrated" in answer["films"][0]["calibration_note"]


def test_without_a_results_folder_nothing_is_known(explain, film):
    _, answer, _ = explain(film, "--results", "nowhere")
    assert answer["films"][0]["calibration"] is None
    json.dumps(answer, allow_nan=False)


def test_a_network_that_has_seen_drawings_only_is_not_shown_as_one_that_knows_films(explain, film, films_task, capsys):
    toys = films_task.removesuffix(":Films")
    common = ["--explainers", f"{toys}:Brightness", "--metrics", "seconds", "--no-references", "--no-audit"]
    phantom = "phantom(size=64, train=2, val=2, test=2)"
    made = ["run", "--models", f"{toys}:Learns", "--tasks", phantom, *common, "--out", "drawn", "--progress", "none"]
    assert call(made) == 0
    capsys.readouterr()
    _, answer, _ = explain(film, model="Learns", task=phantom)
    assert "drawn images" in answer["films"][0]["warnings"][0]
    # Weights that came from elsewhere may know films, whatever task says the classes.
    assert explain(film, task=phantom)[1]["films"][0]["warnings"] == []
