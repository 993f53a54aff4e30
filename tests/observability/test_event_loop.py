import asyncio

import pytest

from observability.event_loop import RunningLoop


def test_it_is_the_loop_that_runs_now():
    running = RunningLoop()

    async def found():
        return running.get() is running.get() is asyncio.get_running_loop()

    with pytest.raises(RuntimeError):
        running.get()
    assert [asyncio.run(found()) for _ in range(2)] == [True, True]
    with pytest.raises(RuntimeError):
        running.get()
