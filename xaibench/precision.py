"""Whether low precision pays: where bfloat16 is not native, or slow though it is, fp32 is faster and exact."""

from __future__ import annotations

import torch

from xaibench.environment import processor


def has_fast_bf16(device: str) -> bool:
    """Whether networks run faster in bfloat16 than in fp32 on this device.

    Of processors with AVX-512's bfloat16 and without AMX, AMD's convolve in it at twice the speed of fp32; an Intel's
    was measured at 0.55 of it.
    """
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # The names have an underscore, but torch has no public ones.
    tiles, products = (
        bool(getattr(torch.cpu, question, bool)())
        for question in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )
    return device == "cpu" and (tiles or (products and "AMD" in processor()))
