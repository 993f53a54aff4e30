// urql as an application sets it up.
import { cacheExchange, Client, fetchExchange } from "@urql/core";
import { authExchange } from "@urql/exchange-auth";
import { persistedExchange } from "@urql/exchange-persisted";
import { retryExchange } from "@urql/exchange-retry";
import { createHash } from "node:crypto";

export const name = "urql";

const generateHash = async (text) => createHash("sha256").update(text).digest("hex");
const isSignIn = (operation) =>
  operation.query.definitions.some((definition) => definition.name?.value === "SignIn");

// `token()` is sent as bearer; `signInAnew()` is awaited when a session has ended.
export function connect(url, network, options = {}) {
  const { token = () => null, signInAnew, isPersisted, usesGet = false } = options;
  const client = new Client({
    url,
    fetch: network.fetch,
    preferGetMethod: usesGet,
    requestPolicy: "network-only",
    exchanges: [
      cacheExchange,
      authExchange(async (utilities) => ({
        addAuthToOperation: (operation) =>
          token()
            ? utilities.appendHeaders(operation, { Authorization: `Bearer ${token()}` })
            : operation,
        didAuthError: (error, operation) =>
          signInAnew !== undefined &&
          !isSignIn(operation) &&
          error.graphQLErrors.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED"),
        refreshAuth: async () => signInAnew(),
      })),
      retryExchange({
        initialDelayMs: 10,
        randomDelay: false,
        maxNumberAttempts: 2,
        retryIf: (error) => error.networkError instanceof TypeError,
      }),
      ...(isPersisted
        ? [persistedExchange({ generateHash, preferGetForPersistedQueries: usesGet })]
        : []),
      fetchExchange,
    ],
  });
  const read = async (asked) => {
    const { data, error } = await asked.toPromise();
    return { data, errors: error?.graphQLErrors ?? [], failure: error?.networkError };
  };
  return {
    ask: (text, variables, headers) =>
      read(client.query(text, variables, { fetchOptions: { headers } })),
    change: (text, variables, headers) =>
      read(client.mutation(text, variables, { fetchOptions: { headers } })),
    // Sends a mutation and goes away before its answer.
    abort: async (text, variables, headers) => {
      const sent = network.requests.length;
      const { unsubscribe } = client
        .mutation(text, variables, { fetchOptions: { headers } })
        .subscribe(() => {});
      while (network.requests.length === sent) await new Promise(setImmediate);
      unsubscribe();
    },
  };
}
