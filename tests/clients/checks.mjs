// Checks, one line for each, and their count at the end.
import assert from "node:assert/strict";

let passed = 0;
let failed = 0;

export async function check(name, body) {
  try {
    await body();
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
}

// Ends the program: connections that are kept alive would hold it.
export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

// The one error of an answer, as the client has read it.
export function onlyError(answer) {
  assert.equal(answer.failure, undefined);
  assert.equal(answer.errors.length, 1);
  return answer.errors[0];
}

export function assertCode(answer, code) {
  assert.equal(onlyError(answer).extensions.code, code);
}

// The data of an answer without errors.
export function dataOf(answer) {
  assert.equal(answer.failure, undefined);
  assert.deepEqual(answer.errors, []);
  return answer.data;
}
