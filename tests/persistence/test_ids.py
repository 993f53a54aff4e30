import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

import time_machine

from persistence.ids import new_id

START = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
COUNT = 10_000


def test_ids_have_version_7_and_the_rfc_variant():
    ids = [new_id() for _ in range(COUNT)]

    assert {(new.version, new.variant) for new in ids} == {(7, RFC_4122)}


def test_ids_are_unique_within_a_millisecond():
    with time_machine.travel(START, tick=False):
        ids = {new_id() for _ in range(COUNT)}

    assert len(ids) == COUNT


def test_id_starts_with_its_milliseconds():
    with time_machine.travel(START + timedelta(microseconds=26_999), tick=False):
        created = new_id()

    assert created.int >> 80 == int(START.timestamp()) * 1000 + 26


def test_ids_sort_by_time():
    ids = []
    with time_machine.travel(START, tick=False) as traveller:
        for _ in range(COUNT):
            ids.append(new_id())
            traveller.shift(0.001)

    assert ids == sorted(ids)
    assert [new.hex for new in ids] == sorted(new.hex for new in ids)


def test_all_bits_after_time_and_variant_are_random():
    with time_machine.travel(START, tick=False):
        ids = [new_id().int for _ in range(COUNT)]

    union, intersection = 0, -1
    for number in ids:
        union |= number
        intersection &= number
    assert (union ^ intersection) == (1 << 62) - 1


def test_ids_of_one_millisecond_sort_by_microseconds():
    ids = []
    with time_machine.travel(START, tick=False) as traveller:
        for _ in range(1000):
            ids.append(new_id())
            traveller.shift(timedelta(microseconds=1))

    assert ids == sorted(ids)
    assert {new.int >> 80 for new in ids} == {int(START.timestamp()) * 1000}


FORKING = """
import os
from persistence.ids import new_id

new_id()
child = os.fork()
if child:
    os.waitpid(child, 0)
print(new_id().int & (1 << 62) - 1, flush=True)
"""


def test_forked_process_does_not_repeat_ids():
    process = subprocess.run([sys.executable, "-c", FORKING], check=True, capture_output=True)

    assert len(set(process.stdout.split())) == 2
