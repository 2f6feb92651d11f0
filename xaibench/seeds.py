"""Randomness that belongs to a sample: derived from its id, so that neither batch, order nor sharding can matter."""

import hashlib


def derive(*parts: str | int) -> int:
    """Turn any names into a seed of 63 bits: the same parts, the same seed, on every machine.

    Feed it to `numpy.random.default_rng(seed)` or `torch.Generator().manual_seed(seed)`, never to a global generator.
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
