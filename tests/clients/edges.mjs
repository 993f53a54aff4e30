// Conventions between clients and servers: persisted queries, GET, limits, batches, preflights.
import assert from "node:assert/strict";
import http from "node:http";
import { form } from "./captain.mjs";
import { assertCode, check, dataOf, onlyError } from "./checks.mjs";
import { Network } from "./network.mjs";
import * as operations from "./operations.mjs";

// Of each request: whether it had a hash, whether it had the text.
const ways = ({ requests }) =>
  requests.map(({ sent }) => [
    JSON.stringify(sent.extensions ?? "").includes("sha256Hash"),
    Boolean(sent.query),
  ]);

export async function edges(library, { url, trusted, queriesPerMinute }) {
  const says = (what, body) => check(`${library.name}: ${what}`, body);

  for (const usesGet of [false, true]) {
    const way = usesGet ? "GET" : "POST";

    await says(`asks by ${way}`, async () => {
      const network = new Network();
      const client = library.connect(url, network, { usesGet });
      assert.equal(dataOf(await client.ask(operations.NAME)).tournament.id.length, 32);
      assert.equal(network.last.method, way);
    });

    await says(`stops sending hashes where they are not supported, by ${way}`, async () => {
      const network = new Network();
      const client = library.connect(url, network, { isPersisted: true, usesGet });
      dataOf(await client.ask(operations.NAME));
      dataOf(await client.ask(operations.RULES));
      assert.deepEqual(ways(network), [
        [true, false],
        [false, true],
        [false, true],
      ]);
    });

    await says(`asks by the hash of a trusted document, by ${way}`, async () => {
      const network = new Network();
      const client = library.connect(trusted, network, { isPersisted: true, usesGet });
      assert.equal(dataOf(await client.ask(operations.RULES)).registrationRules.squadMin, 11);
      assert.deepEqual(ways(network), [[true, false]]);
    });

    await says(`sends the text of a document that is not found, by ${way}`, async () => {
      const network = new Network();
      const client = library.connect(trusted, network, { isPersisted: true, usesGet });
      assertCode(await client.ask(operations.NAME), "FORBIDDEN");
      assert.deepEqual(ways(network), [
        [true, false],
        [true, true],
      ]);
    });
  }

  await says("sends the text of a trusted document without a hash", async () => {
    const client = library.connect(trusted, new Network());
    assert.equal(dataOf(await client.ask(operations.RULES)).registrationRules.squadMin, 11);
  });

  await says("reads the code and the wait of a rate limit", async () => {
    const network = new Network();
    const client = library.connect(trusted, network);
    const visitor = { "X-Forwarded-For": `192.0.2.${library.name.length}` };
    const ask = () => client.ask(operations.RULES, {}, visitor);
    for (let count = 0; count < queriesPerMinute; count += 1) dataOf(await ask());
    const { extensions } = onlyError(await ask());
    assert.deepEqual([extensions.code, extensions.retryable], ["RATE_LIMITED", true]);
    assert.equal(network.last.status, 429);
    assert.ok(extensions.retryAfterSeconds > 0);
    assert.equal(network.last.answered.get("retry-after"), String(extensions.retryAfterSeconds));
  });

  for (const [size, limit] of [
    [300, "JSON"],
    [11_000, "all bodies"],
  ]) {
    await says(`reads the code of a body above the limit of ${limit}`, async () => {
      const client = library.connect(url, new Network());
      const input = form(0, { teamName: "a".repeat(size * 1000) });
      const answer = await client.change(operations.REGISTER, { input });
      assertCode(answer, "BODY_TOO_LARGE");
    });
  }

  await says("reads where a document is wrong", async () => {
    const client = library.connect(url, new Network());
    const wrong = await client.ask("query Wrong { tournament { id capacity } }");
    assertCode(wrong, "GRAPHQL_VALIDATION_FAILED");
    const unknown = await client.ask(operations.VALIDATE, { input: { ...form(0), fee: 1 } });
    assertCode(unknown, "BAD_USER_INPUT");
  });
}

export async function batch(library, url) {
  await check(`${library.name}: reads that batches are refused`, async () => {
    const client = library.connect(url, new Network(), { isBatch: true });
    const { message, extensions } = onlyError(await client.ask(operations.NAME));
    assert.equal(extensions.code, "BAD_USER_INPUT");
    assert.match(message, /^Batches are not supported/);
  });
}

const NAME_BODY = JSON.stringify({ query: operations.NAME });
const TYPED = { "Content-Type": "application/json" };
const SIGN_OUT = "mutation { signOut { organiser { id } } }";
const REFUSALS = {
  "an ended bearer": [401, { body: NAME_BODY, headers: { Authorization: "Bearer ics_ended" } }],
  "an unknown operation": [400, { body: NAME_BODY.replace("{", '{"operationName":"Other",') }],
  "a body that is cut off": [400, { body: NAME_BODY.slice(1) }],
  "another method": [405, { method: "DELETE" }],
  "a mutation by GET": [405, { method: "GET", search: { query: SIGN_OUT } }],
  "a form": [415, { body: "query=x", headers: { "Content-Type": "multipart/form-data" } }],
  "variables that are cut off": [
    400,
    { method: "GET", search: { query: operations.NAME, variables: "{" } },
  ],
};
const GRAPHQL = "application/graphql-response+json";
const JSON_TYPE = "application/json";
const ACCEPTED = {
  [`${GRAPHQL},application/json;q=0.9`]: GRAPHQL,
  [`${GRAPHQL}, application/graphql+json, application/json, text/event-stream`]: GRAPHQL,
  [`${GRAPHQL};q=0, */*`]: JSON_TYPE,
  [JSON_TYPE]: JSON_TYPE,
  "*/*": JSON_TYPE,
};

// As clients of other languages send them, by their media types.
export async function refusals({ url }) {
  for (const [what, [status, request]] of Object.entries(REFUSALS)) {
    const { method = "POST", search = {}, body, headers } = request;
    await check(`refusal of ${what} has the media type that is preferred`, async () => {
      for (const [accept, mediaType] of Object.entries(ACCEPTED)) {
        const options = { method, body, headers: { ...TYPED, ...headers, Accept: accept } };
        const answer = await fetch(`${url}?${new URLSearchParams(search)}`, options);
        const { errors } = await answer.json();
        assert.equal(answer.status, status);
        assert.equal(answer.headers.get("content-type"), `${mediaType}; charset=utf-8`);
        assert.equal(answer.headers.get("vary"), "Accept, Origin");
        assert.ok(errors[0].extensions.code.length > 0);
      }
    });
  }
}

// The status for a request with headers that fetch does not let through.
const statusWith = (url, headers) =>
  new Promise((resolve, reject) => {
    const request = http.request(url, { method: "POST", headers: { ...TYPED, ...headers } });
    request.on("error", reject);
    request.on("response", (answer) => resolve(answer.resume().statusCode));
    request.end(NAME_BODY);
  });

export async function hosts({ url }) {
  const { hostname } = new URL(url);
  for (const [host, status] of [
    [hostname, 200],
    [`${hostname}:443`, 200],
    [`${hostname}:80`, 200],
    [`${hostname}.`, 200],
    ["elsewhere.example:443", 400],
  ]) {
    await check(`host ${host} is answered with ${status}`, async () => {
      assert.equal(await statusWith(url, { Host: host }), status);
    });
  }
}

const PREFLIGHTS = {
  "Apollo Client": "content-type,apollographql-client-name,apollographql-client-version",
  "Apollo Client's CSRF header": "apollo-require-preflight,x-apollo-operation-name",
  Sentry: "content-type,sentry-trace,baggage",
  OpenTelemetry: "content-type,traceparent,tracestate,baggage",
  "a captain's page": "authorization,content-type,idempotency-key,x-request-id",
};

export async function preflights({ url, origin }) {
  for (const [who, headers] of Object.entries(PREFLIGHTS)) {
    const ask = (from) =>
      fetch(url, {
        method: "OPTIONS",
        headers: {
          Origin: from,
          "Access-Control-Request-Method": "POST",
          "Access-Control-Request-Headers": headers,
        },
      });

    await check(`preflight of ${who} passes from an allowed page only`, async () => {
      const answer = await ask(origin);
      assert.equal(answer.status, 204);
      assert.equal(answer.headers.get("access-control-allow-origin"), origin);
      assert.equal(answer.headers.get("access-control-allow-credentials"), "true");
      const allowed = answer.headers.get("access-control-allow-headers").toLowerCase().split(", ");
      assert.deepEqual(headers.split(",").filter((header) => !allowed.includes(header)), []);
      const refused = await ask("https://elsewhere.example");
      assert.equal(refused.status, 400);
      assert.equal(refused.headers.get("access-control-allow-origin"), null);
    });
  }
}
