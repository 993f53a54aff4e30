// Apollo Client as an application sets it up.
import {
  ApolloClient,
  ApolloLink,
  CombinedGraphQLErrors,
  gql,
  HttpLink,
  InMemoryCache,
} from "@apollo/client";
import { BatchHttpLink } from "@apollo/client/link/batch-http";
import { SetContextLink } from "@apollo/client/link/context";
import { ErrorLink } from "@apollo/client/link/error";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { RetryLink } from "@apollo/client/link/retry";
import { createHash } from "node:crypto";
import { from, mergeMap } from "rxjs";

export const name = "Apollo Client";

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const isExpired = (error) =>
  CombinedGraphQLErrors.is(error) &&
  error.errors.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED");

// `token()` is sent as bearer; `signInAnew()` is awaited when a session has ended.
export function connect(url, network, options = {}) {
  const { token = () => null, signInAnew, isPersisted, isBatch, usesGet } = options;
  const errors = new ErrorLink(({ error, operation, forward }) => {
    if (!signInAnew || operation.operationName === "SignIn" || !isExpired(error)) return undefined;
    return from(signInAnew()).pipe(mergeMap(() => forward(operation)));
  });
  const retries = new RetryLink({
    delay: { initial: 10, jitter: false },
    attempts: { max: 2, retryIf: (error) => error instanceof TypeError },
  });
  const authorization = new SetContextLink(({ headers }) => ({
    headers: token() ? { ...headers, Authorization: `Bearer ${token()}` } : headers,
  }));
  const Terminating = isBatch ? BatchHttpLink : HttpLink;
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    clientAwareness: { name: "registration-page", version: "1.0" },
    link: ApolloLink.from([
      errors,
      retries,
      authorization,
      ...(isPersisted ? [new PersistedQueryLink({ sha256 })] : []),
      new Terminating({ uri: url, fetch: network.fetch, useGETForQueries: usesGet }),
    ]),
    defaultOptions: { query: { fetchPolicy: "network-only" } },
  });
  const read = async (asked) => {
    try {
      const { data, error } = await asked;
      if (!error) return { data, errors: [] };
      if (CombinedGraphQLErrors.is(error)) return { data, errors: error.errors };
      return { errors: [], failure: error };
    } catch (error) {
      return { errors: [], failure: error };
    }
  };
  return {
    ask: (text, variables, headers) =>
      read(client.query({ query: gql(text), variables, errorPolicy: "all", context: { headers } })),
    change: (text, variables, headers) =>
      read(
        client.mutate({
          mutation: gql(text),
          variables,
          errorPolicy: "all",
          context: { headers },
        }),
      ),
    // Sends a mutation and goes away before its answer.
    abort: async (text, variables, headers) => {
      const controller = new AbortController();
      const context = { headers, fetchOptions: { signal: controller.signal } };
      const sent = network.requests.length;
      const asked = read(client.mutate({ mutation: gql(text), variables, context }));
      while (network.requests.length === sent) await new Promise(setImmediate);
      controller.abort();
      return asked;
    },
  };
}
