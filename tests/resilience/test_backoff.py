"""Pauses between attempts: longer after each failure, short again after a success."""

import pytest

from resilience.backoff import Backoff


@pytest.mark.parametrize(
    ("first", "longest", "pauses"),
    [
        (1, 60, [1, 2, 4, 8, 16, 32, 60, 60]),
        (1, 30, [1, 2, 4, 8, 16, 30, 30, 30]),
        (0.25, 1, [0.25, 0.5, 1, 1, 1, 1, 1, 1]),
        (5, 5, [5] * 8),
        (3, 4, [3, 4, 4, 4, 4, 4, 4, 4]),
    ],
)
def test_pauses_double_up_to_the_longest_and_begin_anew(first, longest, pauses):
    backoff = Backoff(first, longest)

    assert [backoff.next() for _ in range(8)] == pauses

    backoff.reset()
    assert [backoff.next(), backoff.next()] == pauses[:2]
