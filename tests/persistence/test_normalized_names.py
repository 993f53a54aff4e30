import pytest

from persistence import normalized_names
from persistence.ids import new_id
from resolvers.operations.maintenance import diagnose, prune
from resolvers.registration.register import register_team
from tests import factories

IGNORED = ["\u034f", "\u00ad", "\u200b", "\u200d", "\u3164", "\ufe0f", "\U000e0041"]


@pytest.fixture
def add(sql):
    """A function that adds a church with this normalised name and returns its id."""

    async def add_church(normalized_name):
        church_id = new_id()
        await sql.execute(
            "INSERT INTO church SELECT $1, id, 'Zion', $2, 0, now() FROM tournament"
            " WHERE is_active",
            church_id,
            normalized_name,
        )
        return church_id

    return add_church


async def stored_name(sql, church_id):
    return await sql.fetchval("SELECT normalized_name FROM church WHERE id = $1", church_id)


@pytest.mark.parametrize("ignored", IGNORED)
async def test_outdated_church_names_are_renormalised_once(database, sql, add, ignored):
    church_id = await add(f"zi{ignored}on")
    await sql.execute(
        "INSERT INTO church_alias SELECT tournament_id, $2, id FROM church WHERE id = $1",
        church_id,
        f"zion{ignored} hall",
    )

    assert await database.read(normalized_names.count_outdated) == {"church": 1, "church_alias": 1}
    assert await normalized_names.renormalize(database) == 2
    assert await stored_name(sql, church_id) == "zion"
    assert await sql.fetchval("SELECT normalized_name FROM church_alias") == "zion hall"
    assert await database.read(normalized_names.count_outdated) == {}
    assert await normalized_names.renormalize(database) == 0


async def test_name_whose_new_form_is_taken_is_kept_and_counted(database, sql, add, monkeypatch):
    monkeypatch.setattr(normalized_names, "BATCH_SIZE", 2)
    await add("zion")
    outdated = [await add(f"zi{ignored}on") for ignored in IGNORED]
    free = await add("be\u034fthel")

    assert await normalized_names.renormalize(database) == 1
    assert await stored_name(sql, free) == "bethel"
    names = [await stored_name(sql, church_id) for church_id in outdated]
    assert names == [f"zi{ignored}on" for ignored in IGNORED]
    assert await database.read(normalized_names.count_outdated) == {"church": len(IGNORED)}


async def test_names_without_ignored_characters_are_kept(database, sql, add):
    church_ids = [await add(name) for name in ("zion", "ஆனந்த்", "école", "സഭ")]

    assert await normalized_names.renormalize(database) == 0
    names = [await stored_name(sql, church_id) for church_id in church_ids]
    assert names == ["zion", "ஆனந்த்", "école", "സഭ"]


async def test_team_and_player_names_are_renormalised_unless_a_live_team_has_them(services, sql):
    await sql.execute("UPDATE tournament SET teams_per_church = 9")
    codes = []
    for number in range(3):
        form = factories.form(number, churchName="CSI Zion")
        registered = await register_team(services, form, key=None, request_id="request")
        codes.append(registered.team.code)
    names = ("lions", "li\u034fons", "li\u00adons")
    for code, name in zip(codes, names, strict=True):
        await sql.execute("UPDATE team SET normalized_name = $2 WHERE code = $1", code, name)
    await sql.execute("UPDATE team SET status = 'WITHDRAWN' WHERE code = $1", codes[2])
    await sql.execute("UPDATE player SET normalized_name = 'an\u034fand' WHERE position = 1")

    pruned = await prune(services)

    assert pruned.normalized_names == 1 + len(codes)
    rows = await sql.fetch("SELECT code, normalized_name FROM team")
    assert dict(rows) == dict(zip(codes, ("lions", "li\u034fons", "lions"), strict=True))
    assert await sql.fetchval("SELECT count(*) FROM player WHERE normalized_name = 'anand'") == 3
    assert (await diagnose(services)).old_names == {"team": 1}
