from functools import partial

import pytest

from domain.registration.names import normalize
from persistence.ids import new_id
from persistence.pagination import PageRequest
from persistence.repositories import churches


@pytest.fixture
def add(sql):
    """Adds a church to the active tournament, or to `tournament_id`."""

    async def add_church(name, *, normalized=None, taken=1, tournament_id=None):
        await sql.execute(
            "INSERT INTO church SELECT $1, coalesce($2, id), $3, $4, $5, now() FROM tournament"
            " WHERE is_active",
            new_id(),
            tournament_id,
            name,
            normalize(name) if normalized is None else normalized,
            taken,
        )

    return add_church


@pytest.fixture
def page(database):
    async def read_page(first=100, *, search="", after=None):
        return await database.read(
            partial(
                churches.page,
                search=normalize(search),
                request=PageRequest(size=first, after=after),
            )
        )

    return read_page


@pytest.fixture
def raw_names(database):
    """The names found by a search that is not normalised before."""

    async def find(search):
        found = await database.read(
            partial(churches.page, search=search, request=PageRequest(size=100))
        )
        assert await database.read(partial(churches.count, search=search)) == len(found.rows)
        return names_of(found)

    return find


@pytest.fixture
def names(raw_names):
    return lambda search: raw_names(normalize(search))


def names_of(page):
    return [row.name for row in page.rows]


def after(page):
    return page.rows[-1].name, page.rows[-1].id


async def test_empty_tournament_has_an_empty_page(page, names):
    found = await page()

    assert (found.rows, found.has_next) == ((), False)
    assert await names("") == []


async def test_church_comes_with_its_teams_and_the_limit(add, page, sql):
    await add("CSI Zion", taken=1)

    (church,) = (await page()).rows
    assert (church.name, church.taken, church.limit) == ("CSI Zion", 1, 2)

    await sql.execute("UPDATE tournament SET teams_per_church = NULL")
    (church,) = (await page()).rows
    assert church.limit is None


@pytest.mark.parametrize(
    ("first", "pages"),
    [
        (2, [(["A", "B"], True), (["C", "D"], False)]),
        (3, [(["A", "B", "C"], True), (["D"], False)]),
        (4, [(["A", "B", "C", "D"], False)]),
        (5, [(["A", "B", "C", "D"], False)]),
    ],
)
async def test_pages_follow_each_other_by_name(add, page, first, pages):
    for name in "DBCA":
        await add(name)

    found = [await page(first)]
    while found[-1].has_next:
        found.append(await page(first, after=after(found[-1])))

    assert [(names_of(one), one.has_next) for one in found] == pages


async def test_walk_among_insertions_neither_repeats_nor_skips(add, page):
    before = [f"Church {number:02}" for number in range(10, 20)]
    for name in before:
        await add(name)

    walked = []
    found = await page(3)
    walked += names_of(found)
    number = 0
    while found.has_next:
        await add(f"Church 0{number}")  # before the place that was reached
        await add(f"{walked[-1]} Annexe")  # behind it, hence seen
        number += 1
        found = await page(3, after=after(found))
        walked += names_of(found)

    assert [name for name in walked if name in before] == before
    assert len(set(walked)) == len(walked)
    assert walked == sorted(walked)
    assert [name for name in walked if "Annexe" in name] == [
        f"Church {last} Annexe" for last in (12, 14, 16, 18)
    ]


async def test_churches_of_one_name_are_told_apart_by_their_ids(add, page):
    for number in range(5):
        await add("CSI Zion", normalized=f"csi zion {number}")

    found = [await page(2)]
    while found[-1].has_next:
        found.append(await page(2, after=after(found[-1])))

    ids = [row.id for one in found for row in one.rows]
    assert len(ids) == 5
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    "search", ["CSI St Peters", "csi st. peter's", "  C.S.I.   ST PETER’S ", "peters", "I ST"]
)
async def test_church_is_found_however_it_is_written(add, names, search):
    await add("C.S.I. St. Peter's")
    await add("CSI Zion")

    assert await names(search) == ["C.S.I. St. Peter's"]


async def test_search_without_letters_finds_all(add, names):
    await add("CSI Zion")
    await add("Holy Trinity")

    assert await names(" .' ") == ["CSI Zion", "Holy Trinity"]


@pytest.mark.parametrize("sign", ["%", "_", "/", "\\", "'", '"', ":x", "$1"])
async def test_signs_of_patterns_stand_for_themselves(add, raw_names, sign):
    await add("Plain", normalized="plain")
    await add("Marked", normalized=f"a{sign}b")

    assert await raw_names(sign) == ["Marked"]
    assert await raw_names(f"a{sign}") == ["Marked"]
    assert await raw_names(f"p{sign}n") == []


async def test_pages_of_a_search_hold_nothing_else(add, page):
    for name in ("CSI A", "Holy B", "CSI C", "Holy D", "CSI E"):
        await add(name)

    first = await page(2, search="csi")
    second = await page(2, search="csi", after=after(first))

    assert (names_of(first), first.has_next) == (["CSI A", "CSI C"], True)
    assert (names_of(second), second.has_next) == (["CSI E"], False)


async def test_churches_of_another_season_are_not_shown(add, names, sql):
    other = new_id()
    await sql.execute(
        "INSERT INTO tournament SELECT (jsonb_populate_record("
        "t, jsonb_build_object('id', $1::uuid, 'is_active', false))).* FROM tournament t",
        other,
    )
    await add("CSI Zion", tournament_id=other)
    await add("Holy Trinity")

    assert await names("") == ["Holy Trinity"]
