"""Weights from files and from the network: whole and fitting, or refused with the reason."""

import functools
import hashlib
import http.server
import pickle
import threading
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from torchvision.models.vision_transformer import interpolate_embeddings

from xaibench.checkpoints import fill, load_checkpoint, read
from xaibench.errors import DataError
from xaibench.registry import create
from xaibench_models import initial
from xaibench_models.initial import fetch, load_imagenet, resized


class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.body, self.fc = nn.Linear(4, 5), nn.Linear(5, classes)


def state(classes=3):
    torch.manual_seed(1)
    return Net(classes).state_dict()


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "network.", "_orig_mod."])
def test_torch_checkpoints_are_unwrapped(tmp_path, wrap, prefix):
    content = {f"{prefix}{name}": tensor for name, tensor in state().items()}
    torch.save({wrap: content, "epoch": 3} if wrap else content, tmp_path / "x.pt")
    network = Net()
    load_checkpoint(network, str(tmp_path / "x.pt"))
    assert all(torch.equal(tensor, state()[name]) for name, tensor in network.state_dict().items())


def test_safetensors_are_read(tmp_path):
    save_file(state(), tmp_path / "x.safetensors")
    network = Net()
    load_checkpoint(network, str(tmp_path / "x.safetensors"))
    assert torch.equal(network.fc.bias, state()["fc.bias"])


def test_what_does_not_fit_is_named(tmp_path):
    wrong = {**state(2), "extra": torch.zeros(1)}
    del wrong["body.bias"]
    torch.save(wrong, tmp_path / "x.pt")
    with pytest.raises(DataError) as caught:
        load_checkpoint(Net(), str(tmp_path / "x.pt"))
    told = str(caught.value)
    assert "2 of another shape: fc.weight is (2, 5) instead of (3, 5), fc.bias is (2,) instead of (3,)" in told
    assert "1 missing: body.bias" in told
    assert "1 unknown to the network: extra" in told


def test_a_head_of_another_size_is_left_as_it_is_where_that_is_allowed():
    network = Net()
    before = network.fc.weight.clone()
    fill(network, state(1000), "weights", optional=("fc.",))
    assert torch.equal(network.body.weight, state(1000)["body.weight"])
    assert torch.equal(network.fc.weight, before)


class Attack:
    def __reduce__(self):
        return (pytest.fail, ("a checkpoint ran code",))


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps(Attack())], ids=["empty", "text", "pickle"])
@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_what_is_no_table_of_weights_is_refused_and_never_run(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="no weights that can be read safely"):
        read(tmp_path / name)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path):
    torch.save({"state_dict": Attack()}, tmp_path / "x.pt")
    with pytest.raises(DataError, match="read safely"):
        read(tmp_path / "x.pt")


def test_a_list_is_no_table_and_a_missing_file_is_named(tmp_path):
    torch.save([1, 2], tmp_path / "x.pt")
    with pytest.raises(DataError, match="no table of tensors"):
        read(tmp_path / "x.pt")
    with pytest.raises(DataError, match="there is no file"):
        read(tmp_path / "y.pt")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A real web server on this machine, with weights whose name holds their checksum, as torchvision's have."""
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "site"
    place.mkdir()
    torch.save(state(1000), place / "net.pth")
    content = (place / "net.pth").read_bytes()
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (place / name).write_bytes(content)
    (place / "net-00000000.pth").write_bytes(content)
    handler = functools.partial(Quiet, directory=str(place))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", name=name, place=place)
    server.shutdown()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_weights_are_fetched_once_and_kept(site, monkeypatch):
    monkeypatch.setattr(initial, "get_weight", lambda name: SimpleNamespace(url=f"{site.url}/{name}"))
    network = Net()
    load_imagenet(network, site.name, optional=("fc.",))
    assert torch.equal(network.body.weight, state(1000)["body.weight"])
    (site.place / site.name).unlink()
    load_imagenet(Net(), site.name, optional=("fc.",))  # from the cache


def test_a_file_that_is_not_what_its_name_says_is_refused(site):
    with pytest.raises(DataError, match="is not what was published"):
        fetch(f"{site.url}/net-00000000.pth")


def test_without_a_network_it_is_said_what_to_do(site):
    with pytest.raises(DataError, match=r"cannot be fetched .* put it into .*downloads.*weights=FILE"):
        fetch("http://127.0.0.1:9/net-12345678.pth")
    with pytest.raises(DataError, match="404"):
        fetch(f"{site.url}/other-12345678.pth")


class Task:
    classes, folds = ("normal", "benign", "malignant"), 1

    def __init__(self, side=128):
        self.shape = (1, side, side)


WITH_IMAGENET = [
    *("resnet18", "resnet50", "vgg16", "vit", "hmc", "dala-resnet50(place='block')"),
    *("torchvision:squeezenet1_0", "torchvision:googlenet", "torchvision:vit_b_32"),
]


def published(plugin):
    """What torchvision publishes for this network, but for the numbers."""
    builder = plugin.imagenet.split("_Weights")[0].lower()
    return models.get_model(builder, **({"init_weights": False} if builder == "googlenet" else {})).state_dict()


@pytest.mark.parametrize("reference", WITH_IMAGENET)
def test_all_that_torchvision_publishes_for_a_network_fits_but_its_head(reference):
    plugin = create("models", reference).plugin
    with torch.device("meta"):  # names and shapes are the question
        network, state = plugin.network(Task(64)), published(plugin)
        fill(network, resized(plugin.renamed(state), network), reference, plugin.fresh)
    taken = {name for name in plugin.renamed(state) if name in network.state_dict()}
    assert len(taken) > 0.9 * len(state)


def test_a_network_of_torchvision_takes_weights_under_torchvisions_names_and_under_ours(tmp_path):
    torch.manual_seed(0)
    theirs = models.squeezenet1_1(num_classes=3).eval()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = (
        create("models", f"torchvision:squeezenet1_1(checkpoint='{tmp_path}/theirs.pth')").plugin.build(Task(64)).eval()
    )
    torch.save(ours.state_dict(), tmp_path / "ours.pth")
    again = (
        create("models", f"torchvision:squeezenet1_1(checkpoint='{tmp_path}/ours.pth')").plugin.build(Task(64)).eval()
    )
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(ours.preprocessing(x)))
        assert torch.equal(again(x), ours(x))


def test_dots_in_the_files_of_densenets_are_no_names():
    layer = "features.denseblock1.denselayer2."
    plugin = create("models", "torchvision:densenet121").plugin
    published = {f"{layer}{part}.{number}.weight": torch.zeros(1) for part in ("norm", "conv") for number in (1, 2)}
    weights = [name for name in models.densenet._DenseLayer(8, 4, 2, 0.0).state_dict() if name.endswith("weight")]
    assert set(plugin.renamed(published)) == {f"inner.{layer}{name}" for name in weights}


def test_the_places_of_a_transformer_are_interpolated_as_torchvision_does_it():
    places = torch.randn(1, 1 + 14 * 14, 8, generator=torch.Generator().manual_seed(0))
    network = models.VisionTransformer(128, 16, 1, 2, 8, 16)
    expected = interpolate_embeddings(128, 16, {"encoder.pos_embedding": places}.copy())["encoder.pos_embedding"]
    found = resized({"encoder.pos_embedding": places}, network)["encoder.pos_embedding"]
    assert found.shape == network.encoder.pos_embedding.shape
    torch.testing.assert_close(found, expected)
