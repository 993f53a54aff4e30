// An organiser's session: sign in, decide, lose the session, sign in anew.
import assert from "node:assert/strict";
import { assertCode, check, dataOf, onlyError } from "./checks.mjs";
import { Network } from "./network.mjs";
import * as operations from "./operations.mjs";

const COOKIE = "__Host-icct26";

// Decides about the team of the captain with `number`.
export async function organiser(library, { url, origin, email, password }, number) {
  const says = (what, body) => check(`${library.name}, organiser: ${what}`, body);
  const network = new Network();
  const session = { token: null, renewals: 0 };
  const token = () => session.token;
  const signIn = (client, given = password) =>
    client.change(operations.SIGN_IN, { input: { email, password: given } });
  // A token that has ended is refused whatever is asked: sign-in goes without.
  const signInAnew = async () => {
    session.token = null;
    session.renewals += 1;
    session.token = dataOf(await signIn(client)).signIn.token;
  };
  const client = library.connect(url, network, { token, signInAnew });
  let team;

  await says("reads the code of a wrong password", async () => {
    const answer = await signIn(client, "not the password at all");
    assertCode(answer, "SIGN_IN_FAILED");
    assert.equal(onlyError(answer).path[0], "signIn");
    assert.equal(session.renewals, 0);
  });

  await says("signs in and lists teams", async () => {
    const data = dataOf(await signIn(client)).signIn;
    assert.deepEqual([data.organiser.email, data.organiser.accessRole], [email, "OWNER"]);
    session.token = data.token;
    const { teams } = dataOf(await client.ask(operations.TEAMS));
    assert.equal(teams.totalCount, teams.nodes.length);
    team = teams.nodes.find(({ name }) => name === `Lions ${number}`);
    assert.equal(team.status, "PENDING");
    assert.match(team.documents[0].link.url, /^\/files\//);
  });

  await says("reads a player's role and an organiser's by node", async () => {
    const { me } = dataOf(await client.ask(operations.ME));
    const variables = { team: team.id, organiser: me.id };
    const nodes = dataOf(await client.ask(operations.NODES, variables));
    assert.equal(nodes.team.players[0].role, null);
    assert.equal(nodes.organiser.accessRole, "OWNER");
  });

  await says("reads null for what there is not", async () => {
    const { team: noTeam, player } = dataOf(await client.ask(operations.UNKNOWN));
    assert.deepEqual([noTeam, player], [null, null]);
  });

  await says("reads that a token in an address is deprecated", async () => {
    const { fields } = dataOf(await client.ask(operations.DEPRECATED)).__type;
    const [argument] = fields.find((field) => field.name === "myTeam").args;
    assert.deepEqual([argument.name, argument.isDeprecated], ["token", true]);
    assert.match(argument.deprecationReason, /Authorization: Bearer/);
  });

  await says("confirms, and reads what is allowed when it is repeated", async () => {
    const confirm = (expectedVersion) =>
      client.change(operations.CONFIRM, { input: { teamId: team.id, expectedVersion } });
    const confirmed = dataOf(await confirm(2)).confirmTeam.team;
    assert.deepEqual([confirmed.status, confirmed.version], ["CONFIRMED", 3]);
    assert.equal(confirmed.readiness.nextOperation, "reopenTeam");
    const { extensions } = onlyError(await confirm(3));
    assert.equal(extensions.code, "INVALID_STATUS_TRANSITION");
    assert.equal(extensions.details.from, "CONFIRMED");
    assert.equal(extensions.details.attempted, "confirmTeam");
    assert.ok(extensions.details.allowed.includes(confirmed.readiness.nextOperation));
  });

  await says("reads the code of a session that was revoked", async () => {
    const other = library.connect(url, network, { token });
    await revoke(library, url, { email, password });
    const answer = await other.ask(operations.ME);
    assertCode(answer, "UNAUTHENTICATED");
    assert.equal(network.last.status, 401);
    const input = { teamId: team.id, expectedVersion: 3 };
    assertCode(await other.change(operations.CONFIRM, { input }), "UNAUTHENTICATED");
  });

  await says("signs in anew, and what was asked is answered", async () => {
    const { me } = dataOf(await client.ask(operations.ME));
    assert.deepEqual([me.email, session.renewals], [email, 1]);
  });

  await says("works with the cookie from an allowed page only", async () => {
    session.token = null;
    dataOf(await signIn(client));
    const set = network.last.answered.getSetCookie().find((line) => line.startsWith(`${COOKIE}=`));
    const cookie = { Cookie: set.split(";")[0] };
    assert.equal(dataOf(await client.ask(operations.ME, {}, cookie)).me.email, email);
    const confirm = (headers) =>
      client.change(
        operations.CONFIRM,
        { input: { teamId: team.id, expectedVersion: 3 } },
        { ...cookie, ...headers },
      );
    assertCode(await confirm({}), "FORBIDDEN");
    assertCode(await confirm({ Origin: "https://elsewhere.example" }), "FORBIDDEN");
    for (const headers of [
      { Origin: origin },
      { Origin: new URL(url).origin.replace("http:", "https:") },
      { "X-Requested-With": "XMLHttpRequest" },
      { "Apollo-Require-Preflight": "true" },
    ]) {
      assertCode(await confirm(headers), "INVALID_STATUS_TRANSITION");
    }
  });
}

// Ends all sessions but its own, from another browser.
async function revoke(library, url, input) {
  let token = null;
  const client = library.connect(url, new Network(), { token: () => token });
  token = dataOf(await client.change(operations.SIGN_IN, { input })).signIn.token;
  const { sessions } = dataOf(await client.ask(operations.SESSIONS));
  for (const { id, isCurrent } of sessions) {
    if (!isCurrent) dataOf(await client.change(operations.REVOKE, { input: { id } }));
  }
}
