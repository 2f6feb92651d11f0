"""From a model plugin to a network with weights: trained once, kept in the user's cache, known by their hash."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock
from safetensors.torch import load_model, save_model

from xaibench.contracts import Workshop
from xaibench.environment import record as environment_record
from xaibench.errors import DataError
from xaibench.files import write_json
from xaibench.identity import key_of, plugin_identity, task_identity
from xaibench.isolation import isolated_randomness
from xaibench.orders import Order, Prepared
from xaibench.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    Progress = Callable[[str, int, int], None]


def build(order: Order) -> nn.Module:
    """The network with its initial weights, the same ones at every call."""
    with isolated_randomness(derive("build", order.seed, order.fold)):
        network: nn.Module = order.model.plugin.build(order.task.plugin)
    return network.eval()


def prepare(order: Order, device: str, progress: Progress) -> Prepared:
    """The weights of an order, made on first use. Of several processes one makes them while the others wait."""
    if not order.model.card["trained"]:
        return Prepared(digest_of(build(order)), None)
    if (found := order.find()) is not None:
        return found
    folder = order.folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        return order.find() or _make(order, device, progress)


def help_to_prepare(order: Order, device: str, progress: Progress) -> None:
    """Take part in a training that another process leads. That one holds the lock and keeps what is learned."""
    if order.model.card["trained"] and order.find() is None:
        _learn(order, device, progress)


def _make(order: Order, device: str, progress: Progress) -> Prepared:
    network, report = _learn(order, device, progress)
    prepared = _keep(order, network.cpu().eval(), report)
    shutil.rmtree(_unfinished(order), ignore_errors=True)
    return prepared


def _unfinished(order: Order) -> Path:
    return order.folder().with_name(f"{order.folder().name}.unfinished")


def _learn(order: Order, device: str, progress: Progress) -> tuple[nn.Module, dict[str, Any]]:
    """The network with the weights to keep, and the report on how they were learned."""
    unfinished = _unfinished(order)
    unfinished.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(unfinished, device, derive("prepare", order.seed, order.fold), progress)
    network, started = build(order), time.perf_counter()
    with isolated_randomness(workshop.seed):
        report = dict(order.model.plugin.prepare(network, order.task.plugin, order.fold, workshop))
    report["preparation_seconds"] = round(time.perf_counter() - started, 3)
    return network, report


def _keep(order: Order, network: nn.Module, report: dict[str, Any]) -> Prepared:
    """Write weights and card beside, then move both into place at once."""
    folder = order.folder()
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    beside.mkdir()
    digest = digest_of(network)
    save_model(network, str(beside / "weights.safetensors"))
    write_json(beside / "card.json", {"digest": digest, "report": plain(report), **_origin(order)})
    shutil.rmtree(folder, ignore_errors=True)  # there is one only if its card is damaged
    beside.rename(folder)
    return Prepared(digest, folder / "weights.safetensors", plain(report))


def _origin(order: Order) -> dict[str, Any]:
    """What a stranger must know to judge the weights: whose, learned from which data, where and with what."""
    data = task_identity(order.task)
    return {
        "model": plain(plugin_identity(order.model)),
        "data": {**plain(data), "digest": key_of(data)},
        "fold": order.fold,
        "seed": order.seed,
        "environment": environment_record(),
    }


def plain(value: Any) -> Any:
    """A report as JSON can hold it, whatever numbers it is made of: a training must not be lost for its report."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def load(order: Order, digest: str, file: Path | None) -> nn.Module:
    """The network of an order with exactly the weights of this digest."""
    network = build(order)
    if file is not None:
        load_model(network, str(file))
    if (found := digest_of(network)) != digest:
        mend = f"remove {file.parent} to make them again" if file else "its `build` must give the same network twice"
        msg = f"weights of {order.model.label} have the hash {found[:12]}, planned was {digest[:12]}: {mend}"
        raise DataError(msg)
    return network.eval()


def digest_of(network: nn.Module) -> str:
    """A hash over names, shapes, types and bytes of all parameters and buffers."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}|{tuple(tensor.shape)}|{tensor.dtype}|".encode())
        # Through uint8, because numpy does not know bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
