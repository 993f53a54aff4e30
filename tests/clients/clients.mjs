// Sessions of real clients with the services that are given as JSON; prints one line per check.
import * as apollo from "./apollo.mjs";
import { captain } from "./captain.mjs";
import { finish } from "./checks.mjs";
import { batch, edges, hosts, preflights, refusals } from "./edges.mjs";
import { organiser } from "./organiser.mjs";
import * as urql from "./urql.mjs";

const services = JSON.parse(process.argv[2]);
for (const [library, number] of [
  [apollo, 1],
  [urql, 3],
]) {
  await captain(library, services.url, number);
  await organiser(library, services, number);
  await edges(library, services);
}
await batch(apollo, services.url);
await preflights(services);
await refusals(services);
await hosts(services);
finish();
