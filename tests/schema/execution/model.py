"""A schema with all kinds of fields, whose resolvers return the values of a case."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NewType

import strawberry
from strawberry.schema.config import StrawberryConfig

from schema.compiled.executor import CompiledExecution, CompiledSchema

Anything = NewType("Anything", object)


@dataclass(frozen=True, slots=True)
class After:
    """The result of an asynchronous resolver after this many turns of the event loop."""

    rounds: int
    value: Any


async def soon(value):
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


def _settled(value: Any) -> Any:
    """Return the value, called if it is a function; raise it if it is an exception."""
    if isinstance(value, Exception):
        raise value
    return value() if callable(value) else value


def _gives(source: Any, info: strawberry.Info, name: str) -> Any:
    return (source.gives if isinstance(source, Box) else info.context.gives).get(name)


def _now(name: str, kind: Any) -> Any:
    def resolve(info: strawberry.Info, source: strawberry.Parent[Any]) -> Any:
        return _settled(_gives(source, info, name))

    resolve.__annotations__["return"] = kind
    return strawberry.field(resolver=resolve)


def _later(name: str, kind: Any) -> Any:
    async def resolve(info: strawberry.Info, source: strawberry.Parent[Any]) -> Any:
        given = _gives(source, info, name)
        after = given if isinstance(given, After) else After(1, given)
        for _ in range(after.rounds):
            await asyncio.sleep(0)
        return _settled(after.value)

    resolve.__annotations__["return"] = kind
    return strawberry.field(resolver=resolve)


@strawberry.enum
class Colour(Enum):
    RED = "r"
    GREEN = "g"


@strawberry.interface
class Pet:
    name: str


@strawberry.type
class Dog(Pet):
    barks: bool | None = None


@strawberry.type
class Cat(Pet):
    lives: int | None = None


@strawberry.type
class Stone(Pet):
    """A type that is not part of the schema."""


@strawberry.type
class Fields:
    word: str | None = _now("word", str | None)
    must: str = _now("must", str)
    word_later: str | None = _later("word_later", str | None)
    must_later: str = _later("must_later", str)

    inner: "Box | None" = _now("inner", "Box | None")
    must_inner: "Box" = _now("must_inner", "Box")
    inner_later: "Box | None" = _later("inner_later", "Box | None")
    must_inner_later: "Box" = _later("must_inner_later", "Box")

    words: list[str | None] | None = _now("words", list[str | None] | None)
    must_words: list[str | None] = _now("must_words", list[str | None])
    full_words: list[str] | None = _now("full_words", list[str] | None)
    must_full_words: list[str] = _now("must_full_words", list[str])
    words_later: list[str | None] | None = _later("words_later", list[str | None] | None)
    must_words_later: list[str | None] = _later("must_words_later", list[str | None])
    full_words_later: list[str] | None = _later("full_words_later", list[str] | None)
    must_full_words_later: list[str] = _later("must_full_words_later", list[str])
    grid: list[list[int] | None] | None = _now("grid", list[list[int] | None] | None)
    boxes: "list[Box | None] | None" = _now("boxes", "list[Box | None] | None")
    full_boxes: "list[Box] | None" = _later("full_boxes", "list[Box] | None")

    whole: int | None = _now("whole", int | None)
    real: float | None = _now("real", float | None)
    flag: bool | None = _now("flag", bool | None)
    key: strawberry.ID | None = _now("key", strawberry.ID | None)
    moment: datetime | None = _now("moment", datetime | None)
    anything: Anything | None = _now("anything", Anything | None)
    colour: Colour | None = _now("colour", Colour | None)
    must_colour: Colour = _now("must_colour", Colour)
    colours: list[Colour] | None = _now("colours", list[Colour] | None)

    pet: Pet | None = _now("pet", Pet | None)
    pets: list[Pet] | None = _now("pets", list[Pet] | None)
    either: Dog | Cat | None = _now("either", Dog | Cat | None)


@strawberry.type
class Box(Fields):
    gives: strawberry.Private[Mapping[str, Any]]
    label: str | None = None
    must_label: str = "box"
    thing: Anything | None = None


@strawberry.input
class Size:
    height: int
    width: int | None = None
    unit: str = "cm"


def _text(**arguments: Any) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _told(text: str | None = "none given", count: int | None = None) -> str:
    return _text(text=text, count=count)


def _needed(text: str, often: int = 2) -> str:
    return _text(text=text, often=often)


def _measured(size: Size | None = None, colours: list[Colour] | None = None) -> str:
    return _text(size=size, colours=colours)


async def _scaled(by: float = 1.5, key: strawberry.ID | None = None, *, is_up: bool = True) -> str:
    return _text(by=by, key=key, is_up=is_up)


@strawberry.type
class Query(Fields):
    told: str | None = strawberry.field(resolver=_told)
    needed: str | None = strawberry.field(resolver=_needed)
    measured: str | None = strawberry.field(resolver=_measured)
    scaled: str = strawberry.field(resolver=_scaled)


@strawberry.type
class Mutation(Fields):
    pass


SCHEMA = CompiledSchema(
    query=Query,
    mutation=Mutation,
    types=[Dog, Cat],
    extensions=[CompiledExecution],
    config=StrawberryConfig(
        scalar_map={
            Anything: strawberry.scalar(
                name="Anything", serialize=lambda value: value, parse_value=lambda value: value
            )
        }
    ),
)
