"""DeepLift's rescale rule, wherever the network calls an activation: as a module, twice, or in place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from xaibench.contracts import ExplainerCard
from xaibench.errors import Unsupported
from xaibench_adapters.drawing import Baselines, at_least, baseline, checked_baselines
from xaibench_adapters.gradients import each_pass, images_of, poisoned, target_logits
from xaibench_adapters.relu_rules import RELUS, RELUS_IN_PLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xaibench.contracts import Batch, Classifier
    from xaibench_adapters.gradients import Item

Change = tuple[torch.Tensor, torch.Tensor]  # of a function's input and of its output, both [n, ...]

ELEMENTWISE = {
    *RELUS, torch.sigmoid, torch.Tensor.sigmoid, F.sigmoid, torch.tanh, torch.Tensor.tanh, F.tanh, F.leaky_relu,
    F.elu, F.celu, F.selu, F.gelu, F.silu, F.mish, F.softplus, F.hardtanh, F.relu6, F.hardswish, F.hardsigmoid,
    F.prelu, F.rrelu, F.threshold, F.logsigmoid, F.softsign, F.tanhshrink, F.softshrink, F.hardshrink,
    torch.clamp, torch.Tensor.clamp, torch.clamp_min, torch.Tensor.clamp_min, torch.abs, torch.Tensor.abs,
}  # fmt: skip
MAXIMA = {F.max_pool2d, torch.max_pool2d, F.adaptive_max_pool2d}
T = torch.Tensor
NO_RULE = {
    F.multi_head_attention_forward, F.scaled_dot_product_attention, F.layer_norm, F.group_norm, F.instance_norm,
    F.softmax, torch.softmax, T.softmax, F.log_softmax, F.normalize, torch.exp, T.exp, torch.log, T.log,
    torch.sqrt, T.sqrt, torch.pow, T.pow, T.__pow__, torch.amax, T.amax, torch.square, T.square, F.glu,
    T.clamp_, torch.maximum, T.maximum, torch.minimum, T.minimum, torch.max, T.max, torch.min, T.min,
}  # fmt: skip
PRODUCTS = {
    torch.mul, T.mul, T.mul_, T.__mul__, torch.div, T.div, T.__truediv__,
    torch.matmul, T.matmul, T.__matmul__, torch.bmm, T.bmm, torch.einsum,
}  # fmt: skip


class _Rescaled(torch.autograd.Function):
    """An activation whose gradient is its change over its input's change, from the blank images to the images.

    The first half of a batch are the images, the second half their blank images.
    """

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """As the activation does, with a graph of its own; copies, for the network may go on in place."""
        with torch.enable_grad():
            ctx.values = values.detach().clone().requires_grad_()
            ctx.output = function(ctx.values)
        output: torch.Tensor = ctx.output.detach().clone()
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Where the input hardly changes, the plain gradient."""
        (plain,) = torch.autograd.grad(ctx.output, ctx.values, gradient)
        change_in, change_out = _change(ctx.values), _change(ctx.output)
        unmoved = change_in.abs() < SMALLEST
        slope = change_out / torch.where(unmoved, 1.0, change_in)
        return torch.where(unmoved, plain, gradient * slope), None


class _RescaledMaximum(_Rescaled):
    """Max pooling: the change of each maximum goes to the places where it is found, on either side."""

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The way from the blank maximum leads up to the larger of both, and from there to the image's."""
        image, blank = ctx.output.detach().chunk(2)
        larger = torch.maximum(image, blank)
        parts = torch.cat([larger - blank, image - larger])
        (plain,) = torch.autograd.grad(ctx.output, ctx.values, gradient, retain_graph=True)
        (placed,) = torch.autograd.grad(ctx.output, ctx.values, gradient * parts)
        change_in = _change(ctx.values)
        unmoved = change_in.abs() < SMALLEST
        both = _twice(torch.add(*placed.chunk(2))) / torch.where(unmoved, 1.0, change_in)
        return torch.where(unmoved, plain, both), None


SMALLEST = 1e-7  # a change below this is rounding


def _change(values: torch.Tensor) -> torch.Tensor:
    image, blank = values.detach().chunk(2)
    return _twice(image - blank)


def _twice(values: torch.Tensor) -> torch.Tensor:
    return torch.cat([values, values])


class RescaleRule(TorchFunctionMode):
    """Within it activations and max pooling follow the rescale rule; what has no rule is refused."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in NO_RULE | PRODUCTS and len(moving([*args, *kwargs.values()])) > (func in PRODUCTS):
            raise Unsupported(
                f"DeepLift has no rule for {getattr(func, '__name__', func)}, which this network uses: what it "
                "attributes would not add up to the change of the logit. Choose integrated-gradients."
            )
        in_place = func in RELUS_IN_PLACE or kwargs.pop("inplace", False)
        if func in MAXIMA:
            return _RescaledMaximum.apply(args[0], lambda values: func(values, *args[1:], **kwargs))
        if func not in ELEMENTWISE and func not in RELUS_IN_PLACE:
            return func(*args, **(kwargs | ({"inplace": True} if in_place else {})))
        output = _Rescaled.apply(args[0], _out_of_place(func, args[1:], kwargs))
        return args[0].copy_(output) if in_place else output


def _out_of_place(func: Any, more: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The activation as a function of its input alone."""
    if func in RELUS or func in RELUS_IN_PLACE:
        return torch.relu
    return lambda values: func(values, *more, **kwargs)


def moving(values: list[Any]) -> list[torch.Tensor]:
    """The tensors among arguments that depend on the image."""
    flat = [item for value in values for item in (value if isinstance(value, (list, tuple)) else [value])]
    return [item for item in flat if isinstance(item, torch.Tensor) and item.requires_grad]


def attributions(
    classifier: Classifier, images: torch.Tensor, blanks: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """How much each value of the images [n, C, H, W] adds to the change of the logit from the blank images."""
    both = torch.cat([images, blanks]).detach().requires_grad_()
    with torch.enable_grad(), RescaleRule():
        chosen = target_logits(classifier, both, targets.repeat(2))
        total = chosen.sum()
    difference = chosen[: len(images)] - chosen[len(images) :]
    if not total.requires_grad:
        return poisoned(torch.zeros_like(images), difference)
    (gradients,) = torch.autograd.grad(total, both)
    multipliers, _ = gradients.chunk(2)
    return poisoned(multipliers * (images - blanks), difference)


class DeepLift:
    """Each pixel's share in the change of the logit from a blank image, by the rescale rule; added over channels.

    shade: the blank image's, from 0 (black) to 1.
    """

    card = ExplainerCard(
        name="deeplift",
        summary="Each pixel's share in the change of the logit from a black image, by the rescale rule",
        paper="Learning Important Features Through Propagating Activation Differences (Shrikumar et al., 2017)",
        family="gradient",
        sign="signed",
        additive=True,
        needs=frozenset({"gradients"}),
        default=False,
    )

    def __init__(self, shade: float = 0.0) -> None:
        self.shade = shade
        if shade:
            self.card = replace(self.card, additive=False)  # it adds up to the gain over another image

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""
        images = batch.images

        def work(items: list[Item]) -> torch.Tensor:
            some = images_of(items)
            blanks = torch.full_like(images[some], self.shade)
            return attributions(classifier, images[some], blanks, batch.targets[some])

        return torch.stack([row.sum(dim=0) for _, row in each_pass(classifier, batch, 1, work, share=2)])


class DeepLiftShap:
    """DeepLift from several blank images of each image's own, averaged.

    samples: blank images; baselines: "shades" of grey, uniform "noise", or "black".
    """

    card: ClassVar[ExplainerCard] = ExplainerCard(
        name="deeplift-shap",
        summary="Each pixel's share in the change of the logit, averaged over several blank images",
        paper="A Unified Approach to Interpreting Model Predictions (Lundberg and Lee, 2017)",
        family="gradient",
        sign="signed",
        stochastic=True,
        needs=frozenset({"gradients"}),
        default=False,
        profiles={"quick": {"samples": 4}},
    )

    def __init__(self, samples: int = 16, baselines: Baselines = "shades") -> None:
        self.samples = at_least(self.card.name, "samples", samples)
        self.baselines = checked_baselines(self.card.name, baselines)

    def explain(self, classifier: Classifier, batch: Batch) -> torch.Tensor:
        """Heatmaps [B, H, W]."""

        def work(items: list[Item]) -> torch.Tensor:
            some = images_of(items)
            blanks = [baseline(batch, self.card.name, self.baselines, *item, self.samples) for item in items]
            return attributions(classifier, batch.images[some], torch.stack(blanks), batch.targets[some])

        sums = torch.zeros_like(batch.images)
        for (image, _), row in each_pass(classifier, batch, self.samples, work, share=2):
            sums[image] += row
        return (sums / self.samples).sum(dim=1)
