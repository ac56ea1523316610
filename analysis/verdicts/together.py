"""Do failures that share something, and only they, come together? The one question of all causes.

A cause is something that failures share: a kind of probe, a run, a kind of input, an address, a
host. It explains them if nearly all of them share it, and so few failures without it would be an
accident.
"""

from math import exp, lgamma

#: At least this share of the failures share the cause, since others fail by accident now and then.
SHARE = 0.9
#: The probability of so few failures without the cause is below 1 in this number.
CHANCE = 1000


def fail_alone(
    own: int, own_total: int, hits: int, total: int, chance: float = 1 / CHANCE, forged: int = 0
) -> bool:
    """Return whether the tests that share a cause fail alone.

    Args:
        own: how many of the tests that share it failed.
        own_total: how many there are.
        hits, total: the same of all tests.
        chance: the largest probability of so few failures of the others.
        forged: tests that are added where they help most: failures that share the cause, or
            successes of others.
    """
    if own + forged < SHARE * (hits + forged):
        return False
    others = total - own_total + forged
    return chance_of_few(hits - own, others, hits, total + forged) <= chance


def chance_of_few(most: int, size: int, hits: int, total: int) -> float:
    """Return the probability that a random part of the tests has at most some number of hits.

    The distribution is hypergeometric: every test is equally likely to be a hit.

    Args:
        most: the number of hits in the part.
        size: the number of tests in the part.
        hits: the number of hits in all tests.
        total: the number of tests.
    """
    outside, log_all = total - size, _log_ways(total, hits)
    return sum(
        exp(_log_ways(size, count) + _log_ways(outside, hits - count) - log_all)
        for count in range(max(0, hits - outside), most + 1)
    )


def _log_ways(n: int, k: int) -> float:
    """Return ln of the number of ways to choose ``k`` of ``n``; exact integers would be slow."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
