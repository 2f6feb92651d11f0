import pytest
import torch
from click.testing import CliRunner

from xaibench import precision
from xaibench.cli.main import cli
from xaibench.precision import has_fast_bf16

AMD, INTEL = "AMD EPYC 9654 96-Core Processor", "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"


def have(monkeypatch, tiles, products, name):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: products, raising=False)
    monkeypatch.setattr(precision, "processor", lambda: name)


@pytest.mark.parametrize(
    ("tiles", "products", "name", "fast"),
    [
        (True, True, INTEL, True),
        (False, True, INTEL, False),
        (False, True, AMD, True),
        (False, False, AMD, False),
    ],
)
def test_bf16_pays_with_tiles_or_on_amd(monkeypatch, tiles, products, name, fast):
    have(monkeypatch, tiles, products, name)
    assert has_fast_bf16("cpu") is fast
    assert has_fast_bf16("mps") is False


def test_a_torch_without_these_questions_is_taken_to_be_slow(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert has_fast_bf16("cpu") is False


@pytest.mark.parametrize(("fast", "wanted", "told"), [(False, "bf16", 1), (True, "bf16", 0), (False, "fp32", 0)])
def test_who_asks_for_bf16_is_told_where_it_does_not_pay(monkeypatch, tmp_path, fast, wanted, told):
    have(monkeypatch, fast, True, INTEL)
    options = "--tasks phantom-tiny(size=64) --models oracle-lesion --explainers saliency --metrics iou --limit 1"
    words = ["run", *options.split(), "--no-audit", "--no-references", "--device", "cpu", "--precision", wanted]
    ran = CliRunner().invoke(cli, [*words, "--out", str(tmp_path)], catch_exceptions=False)
    assert ran.exit_code == 0
    assert ran.stderr.count("bf16 does not pay on this processor") == told
