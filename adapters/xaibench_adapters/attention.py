"""Where the attention of a vision transformer goes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from xaibench.contracts import ExplainerCard
from xaibench.errors import Unsupported, UsageError
from xaibench_adapters.gradcam import enlarged
from xaibench_adapters.gradients import poisoned, target_logits
from xaibench_adapters.tokens import token_grid

if TYPE_CHECKING:
    from xaibench.contracts import Batch, Classifier


class AttentionRollout:
    """Attention followed from the class token through all layers down to the patches; it knows no class.

    heads: how the heads of a layer are fused, "mean", "max" or "min"; discard: share of the weakest attention in each
    layer that is left out, from 0 to less than 1.
    """

    card = ExplainerCard(
        name="attention-rollout",
        summary="Attention followed from the class token through all layers down to the patches",
        paper="Quantifying Attention Flow in Transformers (Abnar and Zuidema, 2020)",
        family="attention",
        needs=frozenset({"attention"}),
        class_sensitive=False,
        default=False,
    )

    def __init__(self, heads: str = "mean", discard: float = 0.0) -> None:
        if heads not in ("mean", "max", "min"):
            raise UsageError(f"attention-rollout: heads is {heads!r}; there are mean, max and min.")
        if not 0 <= discard < 1:
            raise UsageError(f"attention-rollout: discard is {discard}; give a share from 0 to less than 1.")
        self.heads, self.discard = heads, discard

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        with torch.no_grad():
            weights, chosen = attended(classifier, batch)
        rolled = _start(weights[0])
        for layer in weights:
            fused = self.fused(layer.float())
            # Half of what a layer hands on is its input, by the residual connection.
            mixed = fused + torch.eye(fused.shape[1], device=fused.device)
            rolled = (mixed / mixed.sum(dim=2, keepdim=True)) @ rolled
        return _as_heatmaps(poisoned(rolled, chosen), batch)

    def fused(self, weights: torch.Tensor) -> torch.Tensor:
        """One matrix [B, N, N] of a layer's heads [B, heads, N, N]."""
        fused = weights.mean(dim=1) if self.heads == "mean" else getattr(weights, f"a{self.heads}")(dim=1)
        weakest = int(self.discard * fused[0].numel())
        if not weakest:
            return fused
        bounds = fused.flatten(1).kthvalue(weakest, dim=1).values[:, None, None]
        return torch.where(fused > bounds, fused, torch.zeros_like(fused))


class AttentionGradient:
    """Attention that speaks for the class, by its gradient, followed through all layers down to the patches."""

    card = ExplainerCard(
        name="attention-gradient",
        summary="Attention weighed by its gradient where that is positive, followed through all layers",
        paper="Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers "
        "(Chefer et al., 2021)",
        family="attention",
        needs=frozenset({"attention", "gradients"}),
        default=False,
    )

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        with torch.enable_grad():
            weights, chosen = attended(classifier, batch)
            # What a module hands out is a view, made after its use: the gradient is that of the weights themselves.
            used = [layer if layer._base is None else layer._base for layer in weights]
            gradients = torch.autograd.grad(chosen.sum(), used)
        relevance = _start(weights[0])
        for layer, gradient in zip(weights, gradients, strict=True):
            pulled = (layer.detach() * gradient.view_as(layer)).float().clamp(min=0).mean(dim=1)
            relevance = relevance + pulled @ relevance
        return _as_heatmaps(poisoned(relevance, chosen), batch)


def attended(classifier: Classifier, batch: Batch) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Attention weights [B, heads, N, N], layer by layer in the order of use, and each image's own logit."""
    modules = [module for module in classifier.network.modules() if isinstance(module, nn.MultiheadAttention)]
    if not modules:
        raise Unsupported("This network has no torch.nn.MultiheadAttention, whose attention this method follows.")
    weights: list[torch.Tensor] = []

    def ask(_module: nn.Module, given: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return given, named | {"need_weights": True, "average_attn_weights": False}

    def keep(_module: nn.Module, _given: Any, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        weights.append(output[1])

    images = batch.images.detach().requires_grad_(torch.is_grad_enabled())
    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_pre_hook(ask, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(keep).remove)
        chosen = target_logits(classifier, images, batch.targets)
    if not weights or any(layer.shape != weights[0].shape or layer.ndim != 4 for layer in weights):
        shapes = ", ".join(str(tuple(layer.shape)) for layer in weights) or "nothing"
        raise Unsupported(
            f"The attention of this network has the weights {shapes}: they cannot be followed from one layer to the "
            "next, which takes [images, heads, tokens, tokens] everywhere."
        )
    return weights, chosen


def _start(weights: torch.Tensor) -> torch.Tensor:
    B, _, tokens, _ = weights.shape
    return torch.eye(tokens, device=weights.device).expand(B, -1, -1)


def _as_heatmaps(followed: torch.Tensor, batch: Batch) -> torch.Tensor:
    """What the class token, or without one the mean token, took from each patch."""
    size = (batch.images.shape[2], batch.images.shape[3])
    skipped, rows, columns = token_grid("The attention", followed.shape[1], size)
    taken = followed[:, 0, 1:] if skipped else followed.mean(dim=1)
    return enlarged(taken.reshape(-1, rows, columns), size).detach()
