// Every audit of the suite against one address; prints what is not ok, as JSON.
import { serverAudits } from "graphql-http";

const [url] = process.argv.slice(2);
const failures = [];
const audits = serverAudits({ url });
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status !== "ok") {
    failures.push({ id: audit.id, name: audit.name, reason: result.reason });
  }
  if (result.response?.body && !result.response.bodyUsed) await result.response.body.cancel();
}
console.log(JSON.stringify({ count: audits.length, failures }));
