import asyncio
import fcntl
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from persistence.embedded.binaries import PACKAGE, find_binaries
from persistence.embedded.errors import EmbeddedPostgresError
from persistence.embedded.os_user import OsUser
from persistence.embedded.server import EmbeddedPostgres
from persistence.embedded.supervision import running_server

PROJECT = Path(__file__).parents[3]
IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")
OTHER_USER = OsUser(
    uid=NOBODY.pw_uid if IS_ROOT else os.geteuid() + 1, gid=NOBODY.pw_gid, is_other_user=True
)
# Changes the user after the imports: another user may be unable to read the interpreter.
HOLD = """
import os, sys
from pathlib import Path
from persistence.embedded.server import EmbeddedPostgres

if sys.argv[2:]:
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[2]))
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print(server.connected_url("icct26"), server.postmaster_pid, flush=True)
    sys.stdin.read()
"""

START_WITH_CACHE = """
import sys
from pathlib import Path
from persistence.embedded.server import EmbeddedPostgres

with EmbeddedPostgres(Path(sys.argv[1]), binaries_cache=Path(sys.argv[2])):
    pass
"""
BUSY = """
import asyncio, contextlib, sys, asyncpg

async def main():
    connection = await asyncpg.connect(host=sys.argv[1], user="postgres", database="icct26")
    print(connection.get_server_pid(), flush=True)
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        await connection.fetch("SELECT count(*) FROM generate_series(1, 10000000000)")

asyncio.run(main())
"""


@dataclass(kw_only=True)
class Holder:
    """Another process that uses the database of a folder until `leave` is called."""

    process: subprocess.Popen

    def ready(self):
        url, pid = self.process.stdout.readline().split()
        return url, int(pid)

    def leave(self):
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data"
    yield folder
    if (folder / "postgres18" / "cluster" / "postmaster.pid").exists():
        with EmbeddedPostgres(folder):
            pass


@pytest.fixture
def server(data_dir):
    embedded = EmbeddedPostgres(data_dir)
    yield embedded
    embedded.stop()


@pytest.fixture
def hold(data_dir):
    started = []

    def start(folder=data_dir, root=PROJECT, user=()):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder), *user],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env=environment(root),
        )
        started.append(Holder(process=process))
        return started[-1]

    yield start
    for holder in started:
        if holder.process.returncode is None:
            holder.kill()


@pytest.fixture(scope="session")
def public_install():
    """A copy of the code and the wheel that every user can read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copytree(PROJECT / "persistence", folder / "persistence")
    copy_wheel(folder)
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def public_folder():
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def unreadable_wheel(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    copy_wheel(home)
    monkeypatch.syspath_prepend(home)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)


def copy_wheel(folder):
    os_user = OsUser(uid=os.geteuid(), gid=os.getegid(), is_other_user=False)
    installation = find_binaries("18", os_user).folder
    package = installation.parent
    shutil.copytree(installation, folder / PACKAGE / installation.name)
    shutil.copy(package / "__init__.py", folder / PACKAGE)
    libraries = package.with_name(f"{PACKAGE}.libs")
    shutil.copytree(libraries, folder / libraries.name)


def ordinary_user():
    """User and group id for a process that must not run as root."""
    return (str(NOBODY.pw_uid), str(NOBODY.pw_gid)) if IS_ROOT else ()


def as_ordinary_user():
    """Arguments of Popen for a process that must not run as root."""
    if not IS_ROOT:
        return {}
    return {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}


def owned_by_ordinary_user(folder):
    folder.mkdir(mode=0o700, parents=True)
    if IS_ROOT:
        os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    return folder


def environment(root):
    """An environment in which Python imports the code and the wheel from `root` first."""
    python_path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": python_path, "PYTHONDONTWRITEBYTECODE": "1"}


def copies_after_a_start(data_dir, root, cache):
    subprocess.run(
        [sys.executable, "-c", START_WITH_CACHE, str(data_dir), str(cache)],
        check=True,
        cwd="/",
        env=environment(root),
    )
    return [(path.name, path.stat().st_ino) for path in cache.iterdir()]


def query(url, sql):
    parsed = make_url(url)

    async def fetch():
        connection = await asyncpg.connect(
            host=parsed.query["host"],
            port=int(parsed.query["port"]),
            user=parsed.username,
            database=parsed.database,
        )
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()

    return [tuple(row) for row in asyncio.run(fetch())]


def answers(url):
    return query(url, "SELECT 1") == [(1,)]


def store(url, value):
    query(url, "CREATE TABLE stored (value text)")
    query(url, f"INSERT INTO stored VALUES ('{value}')")


def stored(url):
    return query(url, "SELECT value FROM stored")


def is_running(pid):
    """Whether it is a running PostgreSQL process, not a zombie."""
    try:
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def pid_file(data_dir):
    return data_dir / "postgres18" / "cluster" / "postmaster.pid"


def write_pid_file(data_dir, pid):
    """Write a pid file as a killed server leaves it behind."""
    folder = pid_file(data_dir).parent
    pid_file(data_dir).write_text(
        f"{pid}\n{folder}\n1790000000\n5432\n/tmp/icct26-gone\n\n  1234567         0\nready   \n"
    )
    owner = folder.stat()
    os.chown(pid_file(data_dir), owner.st_uid, owner.st_gid)


def test_url_works_with_sqlalchemy(server):
    url = server.start()

    async def ask():
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            row = (await connection.execute(text("SELECT current_database(), 'é'"))).one()
        await engine.dispose()
        return tuple(row)

    assert asyncio.run(ask()) == ("icct26", "é")


def test_port_of_the_environment_is_not_used(server, monkeypatch):
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "/nowhere")
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")

    url = server.start()

    monkeypatch.delenv("PGOPTIONS")
    assert answers(url)


def test_other_databases_have_urls(server):
    query(server.start(), 'CREATE DATABASE "a b/c?d=e"')

    assert query(server.connected_url("a b/c?d=e"), "SELECT current_database()") == [("a b/c?d=e",)]


def test_text_is_utf8_and_sorted_by_code_point(server):
    url = server.start()

    assert query(url, "SHOW server_encoding") == [("UTF8",)]
    assert query(url, "SELECT lower('ÄÖ'), 'Z' < 'a'") == [("äö", True)]


def test_data_outlives_the_server(server):
    store(server.start(), "team")
    server.stop()

    assert stored(server.start()) == [("team",)]


def test_starting_and_stopping_twice_is_harmless(server):
    assert server.start() == server.start()

    server.stop()
    server.stop()


def test_stopped_server_leaves_no_process_and_no_socket(server):
    server.start()
    pid, socket_dir = server.postmaster_pid, server.socket_dir

    server.stop()

    assert not is_running(pid)
    assert not socket_dir.exists()
    with pytest.raises(EmbeddedPostgresError, match="is not running"):
        _ = server.socket_dir


def test_older_version_runs_beside(server, data_dir):
    url = server.start()

    with EmbeddedPostgres(data_dir, version="16") as older:
        assert query(older.connected_url("icct26"), "SHOW server_version")[0][0].startswith("16.")

    assert query(url, "SHOW server_version")[0][0].startswith("18.")


def test_server_listens_on_no_tcp_port(server):
    url = server.start()

    listing = subprocess.run(
        ["ls", "-l", f"/proc/{server.postmaster_pid}/fd"],
        capture_output=True,
        text=True,
        check=True,
        **as_ordinary_user(),
    )
    sockets = set(re.findall(r"socket:\[(\d+)\]", listing.stdout))
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    assert sockets
    assert sockets.isdisjoint(line[9] for line in lines)
    assert query(url, "SHOW listen_addresses") == [("",)]


def test_only_the_servers_user_can_access_socket_and_data(server, data_dir):
    server.start()

    owner = Path(f"/proc/{server.postmaster_pid}").stat().st_uid
    assert owner == (NOBODY.pw_uid if IS_ROOT else os.geteuid())
    for folder in (server.socket_dir, data_dir / "postgres18" / "cluster"):
        assert (folder.stat().st_uid, mode(folder)) == (owner, 0o700)
    assert (mode(data_dir), mode(data_dir / "postgres18")) == (0o700, 0o700)


def test_interrupt_of_the_terminal_does_not_reach_the_server(server):
    server.start()

    assert os.getsid(server.postmaster_pid) == server.postmaster_pid


def test_log_contains_no_personal_data(server, data_dir):
    url = server.start()
    query(url, "CREATE TABLE person (email text PRIMARY KEY)")

    query(url, "INSERT INTO person VALUES ('asha@example.org')")
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        query(url, "INSERT INTO person VALUES ('asha@example.org')")

    log = (data_dir / "postgres18" / "server.log").read_text()
    assert "asha@example.org" in refused.value.detail
    assert "duplicate key" in log
    assert "asha" not in log


def test_large_log_is_truncated_at_the_start(server, data_dir):
    server.start()
    server.stop()
    log = data_dir / "postgres18" / "server.log"
    log.write_bytes(b"old\n" * 2_500_001)

    server.start()

    assert b"old\n" not in log.read_bytes()


def test_data_folder_may_have_a_long_path(tmp_path):
    folder = tmp_path / ("d" * (149 - len(str(tmp_path))))
    assert len(str(folder)) == 150

    with EmbeddedPostgres(folder) as server:
        assert answers(server.connected_url("icct26"))


def test_long_temporary_folder_is_not_used_for_the_socket(server, tmp_path, monkeypatch):
    folder = tmp_path / ("t" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    assert answers(server.start())
    assert list(folder.iterdir()) == []


def test_private_folders_above_the_data_keep_their_modes(tmp_path):
    private = tmp_path / "home"
    private.mkdir(mode=0o700)
    data_dir = private / "data"
    data_dir.mkdir()
    data_dir.chmod(0o750)
    above = [data_dir, *data_dir.parents]
    before = [(folder, mode(folder), folder.stat().st_uid) for folder in above]

    with EmbeddedPostgres(data_dir) as server:
        assert answers(server.connected_url("icct26"))

    assert [(folder, mode(folder), folder.stat().st_uid) for folder in above] == before


def test_killed_server_recovers_with_its_data(server, data_dir):
    store(server.start(), "team")
    killed = server.postmaster_pid
    os.kill(killed, signal.SIGKILL)

    with EmbeddedPostgres(data_dir) as again:
        assert stored(again.connected_url("icct26")) == [("team",)]
        assert again.postmaster_pid != killed
        assert server.postmaster_pid == again.postmaster_pid


def test_killed_server_is_restarted_with_the_same_url(server):
    url = server.start()
    store(url, "team")
    killed = server.postmaster_pid
    os.kill(killed, signal.SIGKILL)

    assert server.start() == url

    assert stored(url) == [("team",)]
    assert server.postmaster_pid != killed


@pytest.mark.slow
def test_server_whose_processes_are_invisible_is_left_alone(server, data_dir):
    """As in another container that shares the folder."""
    server.start()
    server.stop()
    with (data_dir / "postgres18" / "server.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(EmbeddedPostgresError, match="in use by processes that cannot be ended"):
            server.start()

    assert answers(server.start())


@pytest.mark.slow
def test_busy_child_of_a_killed_server_is_ended_first(server, data_dir):
    url = server.start()
    store(url, "team")
    busy = subprocess.Popen(
        [sys.executable, "-c", BUSY, str(server.socket_dir)], stdout=subprocess.PIPE, text=True
    )
    child = int(busy.stdout.readline())
    state = f"SELECT state FROM pg_stat_activity WHERE pid = {child}"
    wait_until(lambda: query(url, state) == [("active",)])
    os.kill(server.postmaster_pid, signal.SIGKILL)

    with EmbeddedPostgres(data_dir) as again:
        assert stored(again.connected_url("icct26")) == [("team",)]
        assert not is_running(child)

    busy.communicate(timeout=20)


@pytest.mark.slow
def test_ten_kills_in_a_row_lose_nothing(server, data_dir):
    query(server.start(), "CREATE TABLE stored (value int)")

    for number in range(10):
        with EmbeddedPostgres(data_dir) as again:
            query(again.connected_url("icct26"), f"INSERT INTO stored VALUES ({number})")
            os.kill(again.postmaster_pid, signal.SIGKILL)

    with EmbeddedPostgres(data_dir) as again:
        rows = query(again.connected_url("icct26"), "SELECT value FROM stored ORDER BY 1")
    assert rows == [(number,) for number in range(10)]


def test_server_outlives_its_starter_while_others_use_it(server, hold):
    starter = hold()
    _, pid = starter.ready()
    url = server.start()

    starter.leave()

    assert server.postmaster_pid == pid
    assert answers(url)
    server.stop()
    assert not is_running(pid)


def test_four_processes_that_start_at_once_share_one_server(hold):
    holders = [hold() for _ in range(4)]

    servers = {holder.ready() for holder in holders}

    assert len(servers) == 1
    url, pid = servers.pop()
    for holder in holders[:3]:
        holder.leave()
        assert answers(url)
    holders[3].leave()
    assert not is_running(pid)


def test_two_objects_in_one_process_share_one_server(server, data_dir):
    url = server.start()

    with EmbeddedPostgres(data_dir) as second:
        assert second.connected_url("icct26") == url

    assert answers(url)


def test_server_whose_users_were_killed_is_adopted(server, hold):
    holder = hold()
    url, pid = holder.ready()
    holder.kill()
    assert answers(url)

    assert server.start() == url

    assert server.postmaster_pid == pid
    server.stop()
    assert not is_running(pid)


def test_pid_file_of_an_ended_process_is_ignored(server, data_dir):
    store(server.start(), "team")
    server.stop()
    ended = subprocess.Popen(["true"])
    ended.wait()
    write_pid_file(data_dir, ended.pid)

    assert stored(server.start()) == [("team",)]


def test_pid_file_with_the_id_of_another_program_is_ignored(server, data_dir):
    store(server.start(), "team")
    server.stop()
    stranger = subprocess.Popen(["sleep", "600"], **as_ordinary_user())
    write_pid_file(data_dir, stranger.pid)

    try:
        assert stored(server.start()) == [("team",)]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_pid_file_with_the_id_of_another_clusters_server_is_ignored(server, data_dir, tmp_path):
    store(server.start(), "team")
    server.stop()

    with EmbeddedPostgres(tmp_path / "other") as other:
        write_pid_file(data_dir, other.postmaster_pid)

        assert stored(server.start()) == [("team",)]
        assert answers(other.connected_url("icct26"))


def test_server_started_by_another_program_is_left_alone(server, data_dir, public_folder):
    server.start()
    server.stop()
    cluster = pid_file(data_dir).parent
    program = find_binaries("18", OTHER_USER, public_folder).program("postgres")
    other = subprocess.Popen(
        [program, "-D", "/proc/self/cwd", "-h", "", "-k", "/proc/self/cwd"],
        cwd=cluster, stderr=subprocess.DEVNULL, **as_ordinary_user(),
    )  # fmt: skip
    wait_until(pid_file(data_dir).exists)
    wait_until(lambda: "ready" in pid_file(data_dir).read_text())

    with pytest.raises(EmbeddedPostgresError, match=f"process {other.pid}, may be using .* stop"):
        server.start()

    assert other.poll() is None
    other.send_signal(signal.SIGINT)
    assert other.wait(timeout=20) == 0


def test_half_initialised_cluster_is_replaced(server, data_dir):
    fresh = data_dir / "postgres18" / "cluster.new"
    fresh.mkdir(parents=True)
    (fresh / "PG_VERSION").write_text("18\n")

    assert answers(server.start())


def test_server_runs_as_ordinary_user(hold, public_install, public_folder):
    data_dir = owned_by_ordinary_user(public_folder / "data")

    holder = hold(data_dir, public_install, ordinary_user())
    url, pid = holder.ready()

    assert answers(url)
    assert Path(f"/proc/{pid}").stat().st_uid == data_dir.stat().st_uid
    holder.leave()
    assert not is_running(pid)


def test_owner_of_the_data_and_root_take_turns(hold, public_install, public_folder):
    data_dir = owned_by_ordinary_user(public_folder / "data")
    with EmbeddedPostgres(data_dir) as as_root:
        store(as_root.connected_url("icct26"), "team")

    owner = hold(data_dir, public_install, ordinary_user())
    url, pid = owner.ready()
    assert stored(url) == [("team",)]

    with EmbeddedPostgres(data_dir) as as_root:
        assert as_root.postmaster_pid == pid
        owner.leave()
        assert stored(url) == [("team",)]
    assert not is_running(pid)


def test_wheel_in_a_private_home_is_copied_once(hold, data_dir, tmp_path, public_folder):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shutil.copytree(PROJECT / "persistence", home / "persistence")
    copy_wheel(home)

    copies = [copies_after_a_start(data_dir, home, public_folder) for _ in range(2)]

    assert copies[0] == copies[1]
    assert len(copies[0]) == (1 if IS_ROOT else 0)
    assert mode(home) == 0o700


def test_copy_is_complete_and_owned_by_this_user(public_folder, unreadable_wheel):
    binaries = find_binaries("18", OTHER_USER, public_folder)

    result = subprocess.run(
        [binaries.program("psql"), "--version"],
        capture_output=True,
        check=True,
        **as_ordinary_user(),
    )

    (copy,) = public_folder.iterdir()
    assert b"18." in result.stdout
    assert (copy.stat().st_uid, mode(copy)) == (os.geteuid(), 0o755)


def test_copy_that_lacks_a_file_is_replaced(public_folder, unreadable_wheel):
    binaries = find_binaries("18", OTHER_USER, public_folder)
    Path(binaries.program("initdb")).unlink()

    assert find_binaries("18", OTHER_USER, public_folder) == binaries

    assert Path(binaries.program("initdb")).exists()
    assert len(list(public_folder.iterdir())) == 1


def test_copy_that_others_could_write_is_refused(public_folder, unreadable_wheel):
    binaries = find_binaries("18", OTHER_USER, public_folder)
    (copy,) = public_folder.iterdir()
    copy.chmod(0o777)

    with pytest.raises(EmbeddedPostgresError, match="written by others: remove it"):
        find_binaries("18", OTHER_USER, public_folder)

    assert binaries.folder.exists()
    assert list(public_folder.iterdir()) == [copy]


def test_symbolic_link_instead_of_the_copy_is_refused(public_folder, unreadable_wheel, tmp_path):
    find_binaries("18", OTHER_USER, public_folder)
    (copy,) = public_folder.iterdir()
    copy.rename(tmp_path / "elsewhere")
    copy.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(EmbeddedPostgresError, match="written by others: remove it"):
        find_binaries("18", OTHER_USER, public_folder)


def test_data_folder_that_cannot_be_created_is_named():
    with pytest.raises(EmbeddedPostgresError, match=r"The database in /proc/icct26 cannot be used"):
        EmbeddedPostgres(Path("/proc/icct26")).start()


def test_file_instead_of_the_data_folder_is_named(tmp_path):
    (tmp_path / "data").write_text("")

    with pytest.raises(EmbeddedPostgresError, match="/data is not a folder"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_unwritable_data_folder_is_named(public_install, public_folder):
    (public_folder / "data").mkdir(mode=0o555)

    result = subprocess.run(
        [sys.executable, "-c", HOLD, str(public_folder / "data"), *ordinary_user()],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment(public_install),
    )

    assert result.returncode == 1
    assert "/data/postgres18: Permission denied." in result.stderr.splitlines()[-1]


def test_foreign_files_in_the_cluster_folder_are_kept(server, data_dir):
    folder = owned_by_ordinary_user(data_dir / "postgres18" / "cluster")
    (folder / "letter.txt").write_text("mine")

    with pytest.raises(EmbeddedPostgresError, match="holds no PostgreSQL data: move it away"):
        server.start()

    assert (folder / "letter.txt").read_text() == "mine"


def test_data_of_another_version_is_refused(server, data_dir):
    folder = owned_by_ordinary_user(data_dir / "postgres18" / "cluster")
    (folder / "PG_VERSION").write_text("15\n")

    with pytest.raises(EmbeddedPostgresError, match=r"holds data of PostgreSQL 15, not of 18\."):
        server.start()


def test_data_of_another_user_is_refused(public_folder, public_install):
    """PostgreSQL does not run as root, and other users cannot use root's data."""
    folder = public_folder / "postgres18" / "cluster"
    folder.mkdir(parents=True)
    reason = "belongs to root, as whom PostgreSQL refuses to run" if IS_ROOT else "holds no"

    with pytest.raises(EmbeddedPostgresError, match=reason):
        EmbeddedPostgres(public_folder).start()


def test_error_of_a_server_that_does_not_start_quotes_its_log(server, data_dir):
    server.start()
    server.stop()
    settings = pid_file(data_dir).with_name("postgresql.conf")
    settings.write_text("no_such_setting = 1\n")

    with pytest.raises(EmbeddedPostgresError, match=r"did not start(?s:.*)no_such_setting"):
        server.start()

    assert [path.name for path in data_dir.iterdir()] == ["postgres18"]
    settings.write_text("")
    assert answers(server.start())


def test_callback_runs_while_the_server_starts(server, data_dir):
    with server:
        pass
    lock = os.open(data_dir / "postgres18" / "start.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)

    # The callback releases the lock for which the start waits: only both at once can succeed.
    with running_server(server, meanwhile=lambda: os.close(lock)) as url:
        assert answers(url)


def test_failed_start_is_reported_after_the_callback(data_dir):
    done = []
    data_dir.write_text("no folder")
    broken = EmbeddedPostgres(data_dir)

    failure = pytest.raises(EmbeddedPostgresError, match="is not a folder")
    with failure, running_server(broken, meanwhile=lambda: done.append(True)):
        pass

    assert done == [True]


def test_server_is_stopped_when_the_callback_fails(server, data_dir):
    def fail():
        raise ImportError("broken")

    with pytest.raises(ImportError, match="broken"), running_server(server, meanwhile=fail):
        pass

    with pytest.raises(EmbeddedPostgresError, match="is not running"):
        _ = server.postmaster_pid
    assert not pid_file(data_dir).exists()
