"""`xaibench explain` from the command line to the files."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_model
from torch.nn import functional

from xaibench import variants
from xaibench.__main__ import call
from xaibench_models.resnet import resnet18


def maps_of(answer, film=0):
    return {row["explainer"].rpartition(":")[2]: row for row in answer["films"][film]["maps"]}


def test_a_film_gives_a_sheet_maps_and_numbers_that_can_be_worked_by_hand(explain, film, tmp_path):
    code, answer, _ = explain(film, "--out", "out")
    (told,) = answer["films"]
    # logits: left 0, right 64 white pixels of 512
    likely = np.exp(0.125) / (1 + np.exp(0.125))
    assert code == 0
    assert (told["predicted"], told["explained_class"]) == ("right", "right")
    assert told["probabilities"] == {"left": pytest.approx(1 - likely), "right": pytest.approx(likely)}
    numbers = maps_of(answer)["Brightness"]["statistics"]
    assert numbers["box"] == [4, 20, 12, 28]
    assert numbers["centre_of_mass"] == [8.0, 24.0]
    assert numbers["energy_in_top_10_percent"] == 1.0
    folder = tmp_path / "out" / "film"
    raw = np.load(folder / "toy_networks.py_Brightness.npy")
    assert np.array_equal(raw, np.asarray(Image.open(film), np.float32) / 255)
    assert json.loads((folder / "explanation.json").read_text())["maps"] == told["maps"]
    with Image.open(folder / "sheet.png") as sheet:
        assert min(sheet.size) > 500


def test_the_sheet_shows_the_map_over_the_place_it_points_at(explain, film, tmp_path):
    """The film is grey everywhere; colour comes from the map, and there is some."""
    explain(film, "--out", "with")
    explain(film, "--out", "without", explainers=("Crashes",))
    coloured = [colour_in(tmp_path / name / "film" / "sheet.png") for name in ("with", "without")]
    assert coloured[0] > coloured[1] + 5000


def colour_in(sheet):
    """Yellow pixels of the right panel."""
    pixels = np.asarray(Image.open(sheet).convert("RGB")).astype(int)
    panel = pixels[:, pixels.shape[1] // 2 : int(0.9 * pixels.shape[1])]
    return int(((panel[:, :, 0] > 200) & (panel[:, :, 0] - panel[:, :, 2] > 40)).sum())


def test_whatever_goes_wrong_with_one_explainer_is_told_and_harms_no_other(explain, film):
    every = ("Crashes", "Spoils", "Flat", "attention-rollout", "Gradient")
    code, answer, _ = explain(film, explainers=every)
    alone = explain(film, explainers=("Gradient",))[1]
    rows = maps_of(answer)
    assert code == 1
    assert {name: row["status"] for name, row in rows.items()} == {
        "Crashes": "failed",
        "Spoils": "failed",
        "Flat": "failed",
        "attention-rollout": "unsupported",
        "Gradient": "ok",
    }
    assert rows["Crashes"]["reason"] == "ZeroDivisionError: a heatmap of nothing"
    assert "changed the model" in rows["Spoils"]["reason"]
    assert rows["Flat"]["reason"] == "flat: every value is 1"
    assert "has no attention" in rows["attention-rollout"]["reason"]
    assert rows["Gradient"]["statistics"] == maps_of(alone)["Gradient"]["statistics"]
    assert answer["films"][0]["probabilities"] == alone["films"][0]["probabilities"]


def test_what_is_unsupported_is_no_failure(explain, film):
    code, answer, _ = explain(film, explainers=("attention-rollout", "roi", "Brightness"))
    assert code == 0
    assert "--mask" in maps_of(answer)["roi"]["reason"]


def test_the_same_command_gives_the_same_bytes(explain, film, tmp_path):
    for out in ("one", "two"):
        explain(film, "--out", out, explainers=("Chance", "Gradient"))
    one, two = (
        {file.name: file.read_bytes() for file in (tmp_path / out / "film").glob("*.npy")} for out in ("one", "two")
    )
    assert len(one) == 2
    assert one == two


def test_another_seed_gives_another_draw(explain, film, tmp_path):
    for seed in ("0", "1"):
        explain(film, "--out", seed, "--seed", seed, explainers=("Chance",))
    first, second = (np.load(tmp_path / seed / "film" / "toy_networks.py_Chance.npy") for seed in "01")
    assert not np.array_equal(first, second)


def test_seeds_are_those_a_benchmark_gives_a_sample_of_this_name(explain, film):
    _, answer, _ = explain(film, "--seed", "5", explainers=("Chance",))
    assert maps_of(answer)["Chance"]["seed"] == variants.map_seed(variants.PLAIN, 5, "film")


def test_a_class_can_be_asked_for_by_name_and_a_wrong_one_is_refused(explain, film):
    assert explain(film, "--target", "left")[1]["films"][0]["explained_class"] == "left"
    code, _, said = explain(film, "--target", "leftt")
    assert code == 2
    assert "left, right" in said
    assert explain(film, "--target", "true")[0] == 2  # nothing is known of the truth


def test_a_mask_is_measured_and_lets_explainers_that_need_one_draw(explain, film, tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[4:12, 20:24] = 255  # half of the square
    Image.fromarray(mask).save(tmp_path / "mask.png")
    _, answer, _ = explain(film, "--mask", tmp_path / "mask.png", explainers=("Brightness", "roi"))
    rows = maps_of(answer)
    assert rows["Brightness"]["statistics"]["mass_in_mask"] == 0.5
    assert rows["Brightness"]["statistics"]["mask_area"] == 32 / 1024
    assert rows["roi"]["statistics"]["mass_in_mask"] == 1.0


def test_a_mask_that_cannot_belong_to_the_film_is_refused(explain, film, tmp_path):
    Image.new("L", (64, 32), 255).save(tmp_path / "wide.png")
    Image.new("L", (32, 32)).save(tmp_path / "black.png")
    assert "not the same view" in explain(film, "--mask", tmp_path / "wide.png")[2]
    assert "marks nothing" in explain(film, "--mask", tmp_path / "black.png")[2]
    code, _, said = explain(film, "--mask", tmp_path / "none.png")
    assert code == 2
    assert "no such file" in said


def test_a_folder_gives_a_contact_sheet_and_leaves_out_what_cannot_be_read(explain, film, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.png").write_bytes(film.read_bytes())
    (folder / "notes.txt").write_text("not a film")
    (folder / "torn.png").write_bytes(film.read_bytes()[:50])
    code, answer, said = explain(folder, "--out", "out", explainers=("Brightness", "Flat"))
    assert code == 1
    assert [row["film"] for row in answer["films"]] == ["a", "b"]
    assert list(answer["unreadable"]) == [str(folder / "torn.png")]
    assert "torn.png" in said
    with Image.open(tmp_path / "out" / "contact-sheet.png") as sheet:
        assert sheet.height > 2 * 256


def test_films_of_one_name_get_folders_of_their_own(explain, film, tmp_path):
    other = tmp_path / "other" / "film.png"
    other.parent.mkdir()
    other.write_bytes(film.read_bytes())
    _, answer, _ = explain(film, other)
    sheets = [row["sheet"] for row in answer["films"]]
    assert len(set(sheets)) == 2
    assert all((tmp_path / sheet).exists() for sheet in sheets)


def test_if_no_film_can_be_read_the_exit_code_says_usage(explain, tmp_path):
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG nothing")
    code, _, said = explain(torn)
    assert code == 2
    assert "torn.png is damaged" in said
    assert explain(tmp_path / "nothing.png")[0] == 2


def test_a_task_that_does_not_read_films_says_so(explain, film):
    code, _, said = explain(film, task=f"{__file__.rpartition('/')[0]}/toy_networks.py:Unread")
    assert code == 2
    assert "no method `read`" in said


def test_weights_from_a_file_are_explained_and_other_classes_are_refused_with_the_way_out(film, capsys, tmp_path):
    file = tmp_path / "weights.safetensors"
    network = resnet18(2)
    save_model(network, str(file))
    asked = [
        "explain",
        str(film),
        "--model",
        f"resnet18@{file}",
        "--explainers",
        "gradcam",
        "--json",
        "--progress",
        "none",
    ]
    assert call([*asked, "--task", "picture(classes='a,b',size=64)"]) == 0
    told = json.loads(capsys.readouterr().out)["films"][0]
    pixels = torch.from_numpy(np.array(Image.open(film), np.float32) / 255)[None, None]
    image = functional.interpolate(pixels, (64, 64), mode="bilinear")
    with torch.inference_mode():
        expected = torch.softmax(network.eval()(image), dim=1)[0].tolist()
    assert list(told["probabilities"].values()) == pytest.approx(expected, abs=1e-4)
    assert str(file) in told["weights"]["origin"]
    assert told["maps"][0]["status"] in ("ok", "failed")  # of random weights a map may be flat
    assert call([*asked, "--task", "picture(classes='a,b,c',size=64)"]) == 2
    assert "--task \"picture(classes='a,b',size=64)\"" in capsys.readouterr().err


def test_a_network_with_other_outputs_than_the_task_has_classes_is_told_of_a_task_without_images(
    film, capsys, tmp_path
):
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(1, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    asked = ["explain", str(film), "--model", f"{file}:build", "--explainers", "saliency", "--progress", "none"]
    assert call(asked) == 2
    said = capsys.readouterr().err
    assert "mine.py:build has 5 outputs, but task phantom has 3 classes" in said
    assert "--task \"picture(classes='a,b',size=128)\"" in said
    told = "picture(classes='a,b,c,d,e',size=128)"
    assert call([*asked, "--task", told, "--out", str(tmp_path / "out")]) == 0


def test_a_network_with_fewer_outputs_than_classes_is_refused_with_the_way_out(explain, film):
    code, _, said = explain(film, model="TwoOnly", task="picture(classes='a,b,c',size=32)")
    assert code == 2
    assert "gives 2 outputs" in said
    assert "--task \"picture(classes='a,b',size=32)\"" in said


def test_a_network_of_ones_own_needs_no_card(explain, film):
    code, answer, said = explain(film, model="built", explainers=("Gradient", "gradcam"))
    assert code == 0
    assert "layer for CAM methods" in said
    assert [row["status"] for row in answer["films"][0]["maps"]] == ["ok", "ok"]
    assert answer["films"][0]["warnings"] == []
