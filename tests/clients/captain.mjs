// A captain's session: rules, a dry run, the team, its correction.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { assertCode, check, dataOf, onlyError } from "./checks.mjs";
import { Network } from "./network.mjs";
import * as operations from "./operations.mjs";

const PHOTO = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mM4EaUBAAM4AUuENdDFAAAAAElFTkSuQmCC",
  "base64",
);
const PLAYERS = "Anand Benny Charles Daniel Edwin Felix George Hari Isaac Jacob Kevin"
  .split(" ")
  .map((name) => ({ name: `${name} Kumar` }));

export function form(number, changes = {}) {
  const person = (place) => ({
    name: `Captain ${"ABCDEFGH"[number]} ${"XY"[place]}`,
    phone: `98765 4${number}${place}10`,
    email: `captain${number}${place}@church.example`,
  });
  return {
    teamName: `Warriors ${number}`,
    churchName: `CSI Church ${number}`,
    captain: person(0),
    viceCaptain: person(1),
    players: PLAYERS,
    ...changes,
  };
}

async function upload(client, url) {
  const input = {
    kind: "GROUP_PHOTO",
    fileName: "team.png",
    contentType: "image/png",
    byteSize: PHOTO.length,
    sha256: createHash("sha256").update(PHOTO).digest("hex"),
  };
  const { ticket } = dataOf(await client.change(operations.OPEN_UPLOAD, { input })).openUpload;
  const headers = Object.fromEntries(ticket.headers.map(({ name, value }) => [name, value]));
  const { method } = ticket;
  const answer = await fetch(new URL(ticket.url, url), { method, headers, body: PHOTO });
  assert.equal(answer.status, 201);
  return ticket.documentId;
}

// The team that is registered has `number`, one whose answer is not awaited `number + 1`.
export async function captain(library, url, number) {
  const says = (what, body) => check(`${library.name}, captain: ${what}`, body);
  const network = new Network();
  let token = null;
  const client = library.connect(url, network, { token: () => token });
  const key = { "Idempotency-Key": `${library.name}, team ${number}` };
  let input;

  await says("reads the rules, in the media type of GraphQL", async () => {
    const data = dataOf(await client.ask(operations.RULES));
    assert.equal(data.tournament.registration.state, "OPEN");
    const { squadMin, squadMax, requiredDocuments } = data.registrationRules;
    assert.deepEqual([squadMin, squadMax, requiredDocuments], [11, 15, []]);
    assert.match(network.last.headers.get("accept"), /^application\/graphql-response\+json/);
    assert.match(network.last.answered.get("content-type"), /^application\/graphql-response\+json/);
  });

  await says("reads pointer, code and params of issues of a dry run", async () => {
    const wrong = form(number, { captain: { ...form(number).captain, name: "R" }, players: [] });
    const answer = await client.ask(operations.VALIDATE, { input: wrong });
    const { isValid, blockers, issues } = dataOf(answer).validateTeam;
    assert.deepEqual([isValid, blockers], [false, []]);
    assert.deepEqual(
      issues.map(({ pointer, code, params }) => [pointer, code, params.min]),
      [
        ["/input/captain/name", "NAME_TOO_SHORT", 2],
        ["/input/players", "SQUAD_TOO_SMALL", 11],
      ],
    );
    assert.ok(issues.every(({ message }) => message.length > 0));
  });

  await says("reads the issues of a refused form from extensions", async () => {
    const wrong = form(number, { captain: { ...form(number).captain, phone: "12345" } });
    const answer = await client.change(operations.REGISTER, { input: wrong }, key);
    const { message, path, extensions } = onlyError(answer);
    assert.equal(message, "1 detail needs attention.");
    assert.deepEqual([...path], ["registerTeam"]);
    assert.equal(extensions.code, "VALIDATION_FAILED");
    assert.equal(extensions.retryable, false);
    const [{ pointer, code }] = extensions.issues;
    assert.deepEqual([pointer, code], ["/input/captain/phone", "PHONE_INVALID"]);
  });

  await says("registers, and gets the same team when the answer is lost", async () => {
    const documents = [{ kind: "GROUP_PHOTO", documentId: await upload(client, url) }];
    input = form(number, { documents });
    const sent = network.requests.length;
    network.answersToLose = 1;
    const answer = await client.change(operations.REGISTER, { input }, key);
    assert.equal(network.requests.length, sent + 2);
    const { team, manageToken, replayed } = dataOf(answer).registerTeam;
    assert.deepEqual([team.version, team.status, replayed], [1, "PENDING", true]);
    token = manageToken;
    assert.match(token, /^icm_/);
  });

  await says("repeats the key with another form and is told so", async () => {
    token = null;
    const other = { ...input, teamName: "Lions" };
    const answer = await client.change(operations.REGISTER, { input: other }, key);
    assertCode(answer, "IDEMPOTENCY_KEY_REUSED");
    const again = dataOf(await client.change(operations.REGISTER, { input }, key)).registerTeam;
    assert.equal(again.replayed, true);
    token = again.manageToken;
  });

  await says("is told of a stale version, and the right one changes the team", async () => {
    const change = (expectedVersion) =>
      client.change(operations.UPDATE, {
        input: { expectedVersion, teamName: `Lions ${number}` },
      });
    const stale = onlyError(await change(7));
    assert.equal(stale.extensions.code, "STALE_VERSION");
    assert.equal(stale.extensions.details.currentVersion, 1);
    const { team } = dataOf(await change(1)).updateMyTeam;
    assert.deepEqual([team.name, team.version], [`Lions ${number}`, 2]);
    assert.deepEqual(
      team.documents.map(({ review, link }) => [review, link]),
      [["PENDING", null]],
    );
  });

  await says("reads the team with links that are null without an error", async () => {
    const { myTeam } = dataOf(await client.ask(operations.MY_TEAM));
    assert.deepEqual([myTeam.name, myTeam.version], [`Lions ${number}`, 2]);
    assert.deepEqual(
      myTeam.documents.map(({ kind, link }) => [kind, link]),
      [["GROUP_PHOTO", null]],
    );
  });

  await says("reads what belongs to the team by node, and nothing else", async () => {
    const { myTeam } = dataOf(await client.ask(operations.MY_TEAM));
    const { tournament } = dataOf(await client.ask(operations.RULES));
    const variables = {
      team: myTeam.id,
      church: myTeam.church.id,
      tournament: tournament.id,
      other: "0".repeat(32),
    };
    const nodes = dataOf(await client.ask(operations.OWN_NODES, variables));
    assert.equal(nodes.team.code, myTeam.code);
    assert.equal(nodes.team.history.length, 2);
    assert.equal(nodes.church.name, `CSI Church ${number}`);
    assert.equal(nodes.tournament.id, tournament.id);
    assert.equal(nodes.other, null);
  });

  await says("keeps the part of a query that is not refused", async () => {
    for (const sent of [token, null]) {
      token = sent;
      const answer = await client.ask(operations.PARTIAL);
      assertCode(answer, "UNAUTHENTICATED");
      assert.deepEqual([...onlyError(answer).path], ["teamStats"]);
      assert.equal(answer.data.teamStats, null);
      assert.equal(answer.data.tournament.name, "ICCT26 Cricket Tournament");
    }
  });

  await says("reads the code of a manageToken that opens nothing", async () => {
    token = `icm_${"0".repeat(32)}_1_${"A".repeat(43)}`;
    const answer = await client.ask(operations.MY_TEAM);
    assertCode(answer, "UNAUTHENTICATED");
    assert.equal(answer.data.myTeam, null);
    token = null;
  });

  await says("goes away before the answer, and the repeat finds one team", async () => {
    const forgotten = { input: form(number + 1) };
    const headers = { "Idempotency-Key": `${library.name}, team ${number + 1}` };
    await client.abort(operations.REGISTER, forgotten, headers);
    const answer = await client.change(operations.REGISTER, forgotten, headers);
    assert.equal(dataOf(answer).registerTeam.team.version, 1);
  });
}
