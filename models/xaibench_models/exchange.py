"""Networks from files made elsewhere: TorchScript, `torch.export` and ONNX.

TorchScript files and exported programs are code, which torch runs without restriction; ONNX files are run by
onnxruntime, and custom operators in shared libraries are never loaded. Take files of any kind only from people whose
code you would run. A file with a pickled `nn.Module` is refused.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from xaibench.contracts import ModelCard
from xaibench.errors import UsageError
from xaibench.own.fitting import Answers, Options
from xaibench.own.model import OwnModel
from xaibench.registry import code_refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xaibench.contracts import Task


class _FromFile(OwnModel):
    """`file`: the network. The other parameters say what the file does not: see `xaibench.own.fitting.Options`."""

    def __init__(self, file: str, options: Options) -> None:
        own = self.card
        self.file = Path(file).expanduser()
        if why := code_refused():
            raise UsageError(f"{own.name}: {self.file} may hold code, and {why}")
        if not self.file.is_file():
            raise UsageError(f"{own.name}: there is no file {self.file}")
        super().__init__(own.name, self.read, options, own.provides)
        self.card = own

    def read(self, task: Task) -> nn.Module:
        """The network as the file has it."""
        raise NotImplementedError


class TorchScript(_FromFile):
    """`torchscript:model.pt`: a scripted or traced network. It has gradients; CAM methods cannot reach its layers."""

    card = ModelCard(
        name="torchscript",
        summary="a TorchScript file; CAM methods cannot reach its layers",
        trained=False,
        provides=frozenset({"gradients"}),
        default=False,
    )

    def __init__(
        self,
        file: str,
        *,
        mean: str | float = "",
        std: str | float = "",
        channels: int | None = None,
        resize: int | None = None,
        outputs: str | int = "",
        answers: Answers = "logits",
    ) -> None:
        super().__init__(file, Options("", "", mean, std, channels, resize, outputs, answers))

    def read(self, task: Task) -> nn.Module:
        """Onto the CPU, wherever it was saved."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch recommends its newer format
                network: nn.Module = torch.jit.load(str(self.file), map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise UsageError(f"{self.file} is no TorchScript file: {_first_line(error)}") from error
        return network


class Exported(_FromFile):
    """`exported:model.pt2`: a network saved by `torch.export.save`. Layers keep their names, so CAM methods work.

    Without a dynamic batch dimension images go through in the batches it was exported with.
    """

    card = ModelCard(name="exported", summary="a network saved by torch.export.save", trained=False, default=False)

    def __init__(
        self,
        file: str,
        *,
        cam_layer: str | None = "",
        mean: str | float = "",
        std: str | float = "",
        channels: int | None = None,
        resize: int | None = None,
        outputs: str | int = "",
        answers: Answers = "logits",
    ) -> None:
        super().__init__(file, Options("", cam_layer, mean, std, channels, resize, outputs, answers))
        if isinstance(self._network(), InBatches):  # a layer that is called several times per batch tells the last
            self.card = replace(self.card, provides=frozenset({"gradients"}))

    def notes(self, task: Task) -> Iterator[str]:
        """What the file fixes."""
        yield from super().notes(task)
        if isinstance(network := self._network(), InBatches):
            yield f"{_slow(network.size)}, and CAM methods need one"

    def read(self, task: Task) -> nn.Module:
        """With its hierarchy of modules restored."""
        return self._network()

    def _network(self) -> nn.Module:
        if not zipfile.is_zipfile(self.file):  # torch would tell it at length
            raise UsageError(f"{self.file} was not saved by torch.export.save")
        try:
            program = torch.export.load(self.file)
        except (RuntimeError, ValueError, KeyError, OSError, pickle.UnpicklingError) as error:
            raise UsageError(f"{self.file} was not saved by torch.export.save: {_first_line(error)}") from error
        network = torch.export.unflatten(program)
        for module in network.modules():
            for node in getattr(getattr(module, "graph", None), "nodes", ()):
                node.meta.clear()  # what is left from exporting cannot be copied, and nothing reads it
        return _in_batches_of(_exported_batch(program), network)


class Onnx(_FromFile):
    """`onnx:model.onnx`: a black box, for methods that need no more than answers. Wants `xaibench[onnx]`.

    It runs on the CPU unless onnxruntime has CUDA. A file with a fixed batch is fed in batches of that size, one with
    a fixed image size is given images of that size, and one with channels last is given those last.
    """

    card = ModelCard(
        name="onnx",
        summary="an ONNX file, a black box (xaibench[onnx])",
        trained=False,
        provides=frozenset(),
        default=False,
    )

    def __init__(
        self,
        file: str,
        *,
        mean: str | float = "",
        std: str | float = "",
        channels: int | None = None,
        resize: int | None = None,
        outputs: str | int = "",
        answers: Answers = "logits",
    ) -> None:
        super().__init__(file, Options("", "", mean, std, channels, resize, outputs, answers))
        seen = OnnxNetwork(self.file)
        self.options = replace(self.options, resize=resize or seen.side, channels=channels or seen.channels)

    def read(self, task: Task) -> nn.Module:
        """In the batches it takes."""
        network = OnnxNetwork(self.file)
        return _in_batches_of(network.batch, network)

    def notes(self, task: Task) -> Iterator[str]:
        """What the file fixes."""
        yield from super().notes(task)
        seen = OnnxNetwork(self.file)
        if seen.batch:
            yield _slow(seen.batch)
        if self.options.resize and task.shape[1:] != (self.options.resize,) * 2:
            yield f"images are brought to {self.options.resize} x {self.options.resize} pixels for it"


class OnnxNetwork(nn.Module):
    """An onnxruntime session as a torch module."""

    content: torch.Tensor

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._session = _session(file)
        self._input = self._session.get_inputs()[0]
        shape = list(self._input.shape)
        if len(self._session.get_inputs()) != 1 or len(shape) != 4:
            raise UsageError(
                f"{file} takes {_inputs(self._session)}; one input [batch, channels, rows, columns] is wanted"
            )
        self.channels_last = shape[3] in (1, 3) and shape[1] not in (1, 3)
        channels, rows, columns = [shape[at] for at in (3, 1, 2)] if self.channels_last else shape[1:]
        self.batch: int | None = _fixed(shape[0])
        self.channels = channels if channels in (1, 3) else None
        self.side = _fixed(rows) if rows == columns else None
        # Other weights are another network: the digest of its state must tell.
        self.register_buffer("content", torch.frombuffer(bytearray(_content(file)), dtype=torch.uint8))

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] -> the first output, on the images' device."""
        ordered = images.permute(0, 2, 3, 1) if self.channels_last else images
        kind = np.float16 if self._input.type == "tensor(float16)" else np.float32
        given = np.ascontiguousarray(ordered.detach().float().cpu().numpy(), dtype=kind)
        answer = self._session.run([self._session.get_outputs()[0].name], {self._input.name: given})[0]
        return torch.from_numpy(np.asarray(answer, dtype=np.float32)).to(images.device)


class InBatches(nn.Module):
    """Feeds a network that takes batches of one size only; the last one is filled up."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] -> answers [B, ...]."""
        missing = -len(images) % self.size
        filled = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
        return torch.cat([self.network(part) for part in torch.split(filled, self.size)])[: len(images)]


def _in_batches_of(size: int | None, network: nn.Module) -> nn.Module:
    return InBatches(network, size) if size else network


def _exported_batch(program: torch.export.ExportedProgram) -> int | None:
    """The batch that an exported program is bound to."""
    images = set(program.graph_signature.user_inputs)
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.name in images]
    return _fixed(shapes[0][0]) if shapes and len(shapes[0]) else None


def _session(file: Path) -> Any:
    try:
        import onnxruntime  # an extra
    except ImportError as error:
        raise UsageError("ONNX files need onnxruntime: pip install 'xaibench[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # onnxruntime raises classes of its own, without a common base
        raise UsageError(f"{file} is no ONNX file that onnxruntime can run: {_first_line(error)}") from error


def _content(file: Path) -> bytes:
    """Digest of a file, and of those beside it that it names: large weights are kept apart."""
    content = file.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16)
    for other in sorted(file.parent.iterdir()):
        if other != file and other.name.encode() in content and other.is_file():
            digest.update(other.read_bytes())
    return digest.digest()


def _inputs(session: Any) -> str:
    return ", ".join(f"{one.name} {list(one.shape)}" for one in session.get_inputs())


def _fixed(size: object) -> int | None:
    """A size that is a number; those that vary have a name."""
    return size if isinstance(size, int) and size > 0 else None


def _slow(batch: int) -> str:
    return f"the file fixes the batch at {batch}: slower than one exported with a dynamic batch dimension"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
