"""Simulated captains who repeat their request until it is answered, and fault injection."""

import asyncio
import random
from dataclasses import dataclass, field

import httpx

from tests import factories
from tests.server_processes import register

ATTEMPTS = 400
PAUSE_SECONDS = 0.05


def fault_moments(seed: int, *, teams: int, count: int) -> list[int]:
    """Choose numbers of acknowledged teams after which a fault is injected."""
    return sorted(random.Random(seed).sample(range(2, teams - 10), count))


@dataclass(kw_only=True)
class Captains:
    """Register `teams` teams, `at_once` at a time; raise unless all are acknowledged."""

    client: httpx.AsyncClient
    teams: int
    at_once: int = 8
    survives_lost_connections: bool = False
    acknowledged: dict[str, str] = field(default_factory=dict)
    refusals: list[tuple[str, bool]] = field(default_factory=list)
    lost_connections: int = 0

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()

    async def register_all(self) -> None:
        waiting = iter(range(self.teams))

        async def work() -> None:
            for number in waiting:
                await self._register(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(self.at_once):
                group.create_task(work())

    async def wait_until_acknowledged(self, acknowledged: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.acknowledged) >= acknowledged)

    async def wait_for_refusals(self, times: int) -> None:
        """Wait for so many further refused requests."""
        wanted = len(self.refusals) + times
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.refusals) >= wanted)

    async def _register(self, number: int) -> None:
        team = factories.team(number)
        for _ in range(ATTEMPTS):
            body = await self._send(team, f"key-of-team-{number}")
            if body is not None and "errors" not in body:
                code = body["data"]["registerTeam"]["team"]["code"]
                self.acknowledged[team["captain"]["email"]] = code
                await self._notify()
                return
            if body is not None:
                extensions = body["errors"][0]["extensions"]
                self.refusals.append((extensions["code"], extensions["retryable"]))
                assert extensions["retryable"], body
                await self._notify()
            await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"Team {number} was not acknowledged in {ATTEMPTS} attempts.")

    async def _send(self, team: dict, key: str) -> dict | None:
        try:
            return await register(self.client, team, key)
        except httpx.TransportError:
            if not self.survives_lost_connections:
                raise
            self.lost_connections += 1
            return None

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
