"""Seeded streams of chance, one for each thing that happens.

A stream of its own for each part of the world keeps the rest of the world as it was when one
part is changed. Strings seed ``random.Random`` through SHA-512, so no stream depends on
PYTHONHASHSEED.
"""

from random import Random

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def stream(seed: int, *labels: object) -> Random:
    """The stream of chance for what ``labels`` name, in the world of ``seed``."""
    return Random("/".join(str(label) for label in (seed, *labels)))


def token(rng: Random, length: int = 16) -> str:
    """A random name such as the ones that a collector gives to reports."""
    return "".join(rng.choices(_ALPHABET, k=length))
