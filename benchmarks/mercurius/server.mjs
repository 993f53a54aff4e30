// The benchmark scenarios on Mercurius with its JIT compiler and node-postgres, with the SQL of the baseline server.
// The variable OPTIONS holds JSON: port, the database's socket folder and name, the SQL statements, and `isBare`.
// Unless it is bare, the server does what the service does in production: security headers, CORS, compression, rate
// limits by client, request ids, a JSON access log, and a look-up of the bearer token for each request.
import { createHash, createHmac, randomBytes, randomUUID } from "node:crypto";
import compress from "@fastify/compress";
import cors from "@fastify/cors";
import helmet from "@fastify/helmet";
import rateLimit from "@fastify/rate-limit";
import Fastify from "fastify";
import mercurius from "mercurius";
import pg from "pg";

const POOL_SIZE = 16;
const DAY_MS = 24 * 60 * 60 * 1000;
const SECRET = "benchmark";
const RATE_LIMIT = 10_000_000;
const { port, socket, database, register, find, list, authenticate, isBare } = JSON.parse(process.env.OPTIONS);

const pool = new pg.Pool({ host: socket, user: "postgres", database, max: POOL_SIZE, min: POOL_SIZE });

const schema = `
  enum PlayerRole { BATSMAN BOWLER ALL_ROUNDER WICKET_KEEPER }
  enum TeamStatus { PENDING CHANGES_REQUESTED CONFIRMED REJECTED WITHDRAWN }
  type Church { name: String! }
  type Person { name: String! phone: String! email: String! }
  type Player { code: String! name: String! role: PlayerRole jerseyNumber: Int dateOfBirth: String }
  type Team {
    id: ID! code: String! name: String! status: TeamStatus! registeredAt: String!
    church: Church! captain: Person! viceCaptain: Person! players: [Player!]!
  }
  type PageInfo { hasNextPage: Boolean! endCursor: String }
  type TeamConnection { nodes: [Team!]! pageInfo: PageInfo! }
  input PersonInput { name: String! phone: String! email: String! }
  input PlayerInput { name: String! role: PlayerRole jerseyNumber: Int dateOfBirth: String }
  input RegisterTeamInput {
    teamName: String! churchName: String!
    captain: PersonInput! viceCaptain: PersonInput! players: [PlayerInput!]!
  }
  type RegisterTeamPayload { replayed: Boolean! manageToken: String! team: Team! }
  type Query { team(code: String!): Team teams(first: Int!): TeamConnection! }
  type Mutation { registerTeam(input: RegisterTeamInput!): RegisterTeamPayload! }
`;

const fetchRow = async (name, text, values) => (await pool.query({ name, text, values })).rows[0];
const parseData = (row) => (row ? JSON.parse(Object.values(row)[0]).data : {});
const digest = (bytes) => createHmac("sha256", SECRET).update(bytes).digest();

// A UUIDv7, like all ids of the service.
function newId() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

async function registerTeam(_root, { input }, { key }) {
  const id = newId();
  const now = new Date();
  const { captain, viceCaptain: vice, players } = input;
  const stored = await fetchRow("register", register, [
    key, digest(JSON.stringify(input)), id, new Date(now.getTime() + DAY_MS),
    newId(), input.churchName, now, input.teamName,
    captain.name, captain.phone, captain.email, vice.name, vice.phone, vice.email,
    players.map(newId), players.map((player) => player.name), players.map((player) => player.role),
    players.map((player) => player.jerseyNumber), players.map((player) => player.dateOfBirth), newId(), newId(),
  ]);
  const hex = id.replaceAll("-", "");
  const numbered = players.map((player, index) => ({
    code: `${stored.code}-P${String(index + 1).padStart(2, "0")}`,
    ...player,
  }));
  return {
    replayed: false,
    manageToken: `icm_${hex}_${digest(id).toString("hex")}`,
    team: {
      id: hex, code: stored.code, name: input.teamName, status: "PENDING", registeredAt: now.toISOString(),
      church: { name: stored.church_name }, captain, viceCaptain: vice, players: numbered,
    },
  };
}

const resolvers = {
  Query: {
    team: async (_root, { code }) => parseData(await fetchRow("find", find, [code])).team,
    teams: async (_root, { first }) => parseData(await fetchRow("list", list, [first])).teams,
  },
  Mutation: { registerTeam },
};

// The organiser of the bearer token, as the service finds it: by the hash, in the database, each time.
async function findOrganiser(request) {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  if (scheme !== "Bearer") return null;
  const organiser = await fetchRow("authenticate", authenticate, [createHash("sha256").update(token).digest()]);
  if (!organiser || organiser.expires_at <= new Date()) throw new Error("This token is unknown or has ended.");
  return organiser;
}

const app = isBare
  ? Fastify()
  : Fastify({ logger: true, disableRequestLogging: true, genReqId: () => randomUUID(), trustProxy: "127.0.0.1" });
if (!isBare) {
  await app.register(helmet);
  await app.register(cors, { origin: ["https://register.example"], credentials: true });
  await app.register(compress, { global: true, threshold: 1024 });
  await app.register(rateLimit, { max: RATE_LIMIT, timeWindow: "1 minute" });
  app.addHook("onRequest", async (request, reply) => void reply.header("X-Request-ID", request.id));
  app.addHook("onResponse", async (request, reply) => {
    const { method, url } = request;
    request.log.info({ method, path: url, status: reply.statusCode, ms: reply.elapsedTime }, "request_finished");
  });
}
await app.register(mercurius, {
  schema,
  resolvers,
  jit: 1,
  context: async (request) => ({
    key: request.headers["idempotency-key"],
    organiser: isBare ? null : await findOrganiser(request),
  }),
});
await app.listen({ host: "127.0.0.1", port });
