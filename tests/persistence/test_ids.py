import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

import time_machine

from persistence.ids import new_id

START = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
COUNT = 10_000


def test_ids_are_of_version_7_and_of_the_standard_variant():
    made = [new_id() for _ in range(COUNT)]

    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}


def test_ids_are_unique_within_a_millisecond():
    with time_machine.travel(START, tick=False):
        made = {new_id() for _ in range(COUNT)}

    assert len(made) == COUNT


def test_id_starts_with_its_milliseconds():
    with time_machine.travel(START + timedelta(microseconds=26_999), tick=False):
        made = new_id()

    assert made.int >> 80 == int(START.timestamp()) * 1000 + 26


def test_ids_sort_by_time():
    made = []
    with time_machine.travel(START, tick=False) as traveller:
        for _ in range(COUNT):
            made.append(new_id())
            traveller.shift(0.001)

    assert made == sorted(made)
    assert [one.hex for one in made] == sorted(one.hex for one in made)


def test_all_bits_after_time_and_variant_are_random():
    with time_machine.travel(START, tick=False):
        made = [new_id().int for _ in range(COUNT)]

    union, intersection = 0, -1
    for one in made:
        union |= one
        intersection &= one
    assert (union ^ intersection) == (1 << 62) - 1


def test_ids_of_a_millisecond_sort_by_its_microseconds():
    made = []
    with time_machine.travel(START, tick=False) as traveller:
        for _ in range(1000):
            made.append(new_id())
            traveller.shift(timedelta(microseconds=1))

    assert made == sorted(made)
    assert {one.int >> 80 for one in made} == {int(START.timestamp()) * 1000}


FORKING = """
import os
from persistence.ids import new_id

new_id()
child = os.fork()
if child:
    os.waitpid(child, 0)
print(new_id().int & (1 << 62) - 1, flush=True)
"""


def test_a_process_that_was_forked_makes_ids_of_its_own():
    made = subprocess.run([sys.executable, "-c", FORKING], check=True, capture_output=True)

    assert len(set(made.stdout.split())) == 2
