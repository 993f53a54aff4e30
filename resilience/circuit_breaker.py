"""Guard for calls to outside services: retries around a circuit breaker around a timeout."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import structlog
from aiobreaker import CircuitBreaker, CircuitBreakerError, CircuitBreakerState
from aiobreaker.storage.memory import CircuitMemoryStorage
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from domain.errors.base import DomainError
from observability.metrics import BREAKER_STATE, BREAKER_TRANSITIONS, GUARDED_CALLS
from resilience.breaker_states import BreakerState

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceGuardOptions:
    """Limits of a guard.

    Each call makes up to `attempts` attempts of `timeout_seconds` each. `failures` failed attempts
    within `window_seconds` open the breaker for `open_seconds`. `retry_wait_seconds` is the first
    wait between two attempts; it doubles each time. 0 means no wait.
    """

    timeout_seconds: float = 30
    attempts: int = 3
    failures: int = 5
    window_seconds: float = 60
    open_seconds: float = 60
    retry_wait_seconds: float = 0.2


class ServiceGuard:
    """Call one outside service. Only timeouts and `transient` exceptions count as its failures.

    Any other exception is a response of the service: it is raised as it is, without a retry. When
    the attempts are used up, or the breaker is open, `unavailable` is raised from the last error.
    `clock` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        name: str,
        options: ServiceGuardOptions,
        *,
        transient: tuple[type[Exception], ...],
        unavailable: type[DomainError],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._options = options
        self._failures: tuple[type[Exception], ...] = (*transient, TimeoutError)
        self._unavailable = unavailable
        self._clock = clock
        self._is_probing = False
        self._breaker = _Breaker(
            name,
            options,
            clock=clock,
            is_response=lambda error: not isinstance(error, self._failures),
        )

    @property
    def state(self) -> BreakerState:
        return self._breaker.current

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        options = self._options
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(self._failures),
            stop=stop_after_attempt(options.attempts),
            wait=wait_exponential_jitter(
                multiplier=options.retry_wait_seconds, max=10, jitter=options.retry_wait_seconds
            ),
            reraise=True,
        )
        try:
            return await retrying(self._attempt, call)
        except CircuitBreakerError as opened:
            raise self._unavailable_error() from opened.__cause__
        except self._failures as error:
            raise self._unavailable() from error

    def derive(self, name: str, *, attempts: int) -> "ServiceGuard":
        """Return a guard with the same options for other calls, with failures of its own."""
        return ServiceGuard(
            name,
            replace(self._options, attempts=attempts),
            transient=self._failures,
            unavailable=self._unavailable,
            clock=self._clock,
        )

    def reset(self) -> None:
        """Close the breaker manually."""
        self._breaker.close()

    async def _attempt(self, call: Callable[[], Awaitable[T]]) -> T:
        is_probe = self._admit()
        try:
            result: T = await self._breaker.call_async(self._call_with_timeout, call)
        except CircuitBreakerError:
            self._count("failure")
            raise
        except self._failures:
            self._count("failure")
            raise
        except Exception:
            self._count("answered")
            raise
        else:
            self._count("success")
            return result
        finally:
            # After a cancelled probe the state is still unknown: the next call is the probe.
            self._is_probing = self._is_probing and not is_probe

    def _admit(self) -> bool:
        """Return whether this attempt is the probe. Raises `unavailable` if no call is allowed."""
        if self.state == BreakerState.CLOSED:
            return False
        if self._is_probing or self._seconds_left() > 0:
            self._count("refused")
            raise self._unavailable_error()
        self._is_probing = True
        return True

    async def _call_with_timeout(self, call: Callable[[], Awaitable[T]]) -> T:
        async with asyncio.timeout(self._options.timeout_seconds):
            return await call()

    def _unavailable_error(self) -> DomainError:
        return self._unavailable(retry_after_seconds=max(1, math.ceil(self._seconds_left())))

    def _seconds_left(self) -> float:
        return self._breaker.opened_at + self._options.open_seconds - self._clock()

    def _count(self, outcome: str) -> None:
        GUARDED_CALLS.labels(self.name, outcome).inc()


class SlidingWindow(CircuitMemoryStorage):  # type: ignore[misc]  # the library has no types
    """Count the failures of the last `seconds`. A success in between does not reset the count."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        super().__init__(CircuitBreakerState.CLOSED)
        self._seconds = seconds
        self._clock = clock
        self._times: deque[float] = deque()

    def increment_counter(self) -> None:
        self._times.append(self._clock())

    def reset_counter(self) -> None:
        pass

    def clear(self) -> None:
        self._times.clear()

    @property
    def counter(self) -> int:
        while self._times and self._times[0] <= self._clock() - self._seconds:
            self._times.popleft()
        return len(self._times)


class _Breaker(CircuitBreaker):  # type: ignore[misc]  # the library has no types
    """aiobreaker's breaker without its own timing: the guard decides when to probe.

    The library compares naive UTC datetimes; the guard uses a monotonic clock.
    """

    def __init__(
        self,
        name: str,
        options: ServiceGuardOptions,
        *,
        clock: Callable[[], float],
        is_response: Callable[[Exception], bool],
    ) -> None:
        self._clock = clock
        self._window = SlidingWindow(options.window_seconds, clock)
        self.opened_at = -math.inf
        super().__init__(
            fail_max=options.failures,
            exclude=[is_response],
            state_storage=self._window,
            name=name,
        )
        self._publish(BreakerState.CLOSED)

    @property
    def current(self) -> BreakerState:
        return BreakerState[self.current_state.name]

    @property
    def opens_at(self) -> None:
        """Nothing: aiobreaker puts the value into its errors, and the guard does not read it."""

    def open(self) -> None:
        """Open the breaker. A late failure while it is open does not extend that time."""
        if self.current != BreakerState.OPEN:
            self.opened_at = self._clock()
            self._change(CircuitBreakerState.OPEN)

    def half_open(self) -> None:
        self._change(CircuitBreakerState.HALF_OPEN)

    def close(self) -> None:
        self._window.clear()
        self.opened_at = -math.inf
        self._change(CircuitBreakerState.CLOSED)

    def _change(self, state: Any) -> None:
        before, after = self.current, BreakerState[state.name]
        self.state = self._window.state = state
        if after == before:
            return
        BREAKER_TRANSITIONS.labels(self.name, after).inc()
        self._publish(after)
        write = log.warning if after == BreakerState.OPEN else log.info
        write("breaker_changed", service=self.name, before=before.value, after=after.value)

    def _publish(self, current: BreakerState) -> None:
        for state in BreakerState:
            BREAKER_STATE.labels(self.name, state).set(state == current)
