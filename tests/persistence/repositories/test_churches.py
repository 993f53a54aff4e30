import pytest

from domain.registration.names import normalize
from persistence.ids import new_id
from persistence.pagination import PageRequest


@pytest.fixture
def add(sql):
    """A function that adds a church to the active tournament, or to `tournament_id`."""

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
            lambda uow: uow.churches.page(
                search=normalize(search),
                request=PageRequest(size=first, after=after),
            )
        )

    return read_page


@pytest.fixture
def raw_names(database):
    """A function that searches a text as it is, without normalising it. Returns names."""

    async def search_names(search):
        results = await database.read(
            lambda uow: uow.churches.page(search=search, request=PageRequest(size=100))
        )
        assert await database.read(lambda uow: uow.churches.count(search=search)) == len(
            results.rows
        )
        return church_names(results)

    return search_names


@pytest.fixture
def names(raw_names):
    return lambda search: raw_names(normalize(search))


def church_names(page):
    return [row.name for row in page.rows]


def after(page):
    return page.rows[-1].name, page.rows[-1].id


async def test_empty_tournament_has_an_empty_page(page, names):
    first_page = await page()

    assert (first_page.rows, first_page.has_next) == ((), False)
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

    read_pages = [await page(first)]
    while read_pages[-1].has_next:
        read_pages.append(await page(first, after=after(read_pages[-1])))

    assert [(church_names(entry), entry.has_next) for entry in read_pages] == pages


async def test_paging_during_insertions_neither_repeats_nor_skips(add, page):
    before = [f"Church {number:02}" for number in range(10, 20)]
    for name in before:
        await add(name)

    read = []
    current = await page(3)
    read += church_names(current)
    number = 0
    while current.has_next:
        await add(f"Church 0{number}")  # before the cursor
        await add(f"{read[-1]} Annexe")  # after the cursor, so it is read
        number += 1
        current = await page(3, after=after(current))
        read += church_names(current)

    assert [name for name in read if name in before] == before
    assert len(set(read)) == len(read)
    assert read == sorted(read)
    assert [name for name in read if "Annexe" in name] == [
        f"Church {last} Annexe" for last in (12, 14, 16, 18)
    ]


async def test_churches_with_the_same_name_are_paged_by_id(add, page):
    for number in range(5):
        await add("CSI Zion", normalized=f"csi zion {number}")

    pages = [await page(2)]
    while pages[-1].has_next:
        pages.append(await page(2, after=after(pages[-1])))

    ids = [row.id for entry in pages for row in entry.rows]
    assert len(ids) == 5
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    "search", ["CSI St Peters", "csi st. peter's", "  C.S.I.   ST PETER’S ", "peters", "I ST"]
)
async def test_search_ignores_case_punctuation_and_spaces(add, names, search):
    await add("C.S.I. St. Peter's")
    await add("CSI Zion")

    assert await names(search) == ["C.S.I. St. Peter's"]


async def test_search_without_letters_finds_everything(add, names):
    await add("CSI Zion")
    await add("Holy Trinity")

    assert await names(" .' ") == ["CSI Zion", "Holy Trinity"]


@pytest.mark.parametrize("char", ["%", "_", "/", "\\", "'", '"', ":x", "$1"])
async def test_pattern_characters_are_matched_literally(add, raw_names, char):
    await add("Plain", normalized="plain")
    await add("Marked", normalized=f"a{char}b")

    assert await raw_names(char) == ["Marked"]
    assert await raw_names(f"a{char}") == ["Marked"]
    assert await raw_names(f"p{char}n") == []


async def test_pages_of_a_search_hold_matches_only(add, page):
    for name in ("CSI A", "Holy B", "CSI C", "Holy D", "CSI E"):
        await add(name)

    first = await page(2, search="csi")
    second = await page(2, search="csi", after=after(first))

    assert (church_names(first), first.has_next) == (["CSI A", "CSI C"], True)
    assert (church_names(second), second.has_next) == (["CSI E"], False)


async def test_churches_of_another_season_are_left_out(add, names, sql):
    other = new_id()
    await sql.execute(
        "INSERT INTO tournament SELECT (jsonb_populate_record("
        "t, jsonb_build_object('id', $1::uuid, 'is_active', false))).* FROM tournament t",
        other,
    )
    await add("CSI Zion", tournament_id=other)
    await add("Holy Trinity")

    assert await names("") == ["Holy Trinity"]
