import { expect, test } from "vitest";
import { InkstoneError, errorTable, toInkstoneError } from "./errors.ts";

const preface = `# Errors

Every error has a stable code. The API answers with OpenAI's envelope and the status below; the command line prints the code, the message and
the hint, and exits with the exit status below (1: a failure, 2: wrong use, 3: the environment, 4: the model).

\`\`\`json
{"error": {"message": "…", "type": "invalid_request_error", "param": "temperature", "code": "invalid_request", "hint": "…"}}
\`\`\`

\`message\` says what happened, with the values at hand; \`param\` names the field at fault, or is null; \`hint\` says what to do next. Answers with
status 429 and 503 have the header \`Retry-After\`. An error in the middle of a stream is sent as an event with the same envelope, and the stream
ends without \`[DONE]\`.

| Code | Status | Type | Exit | What to do |
| --- | --- | --- | --- | --- |
`;

const rows = Object.entries(errorTable).map(
  ([code, { status, type, exitCode, hint }]) =>
    `| \`${code}\` | ${status} | ${type} | ${exitCode} | ${hint} |`,
);

test("docs/errors.md is the table; `npx vitest run src/errors.test.ts -u` writes it", async () => {
  await expect(`${preface}${rows.join("\n")}\n`).toMatchFileSnapshot("../docs/errors.md");
});

test("an error carries its row", () => {
  const error = new InkstoneError("queue_full", "32 wait", { retryAfterS: 3, param: "n" });
  expect(error).toMatchObject({ message: "32 wait", retryAfterS: 3, param: "n", row: { status: 429 } });
  expect(error.hint).toBe(errorTable.queue_full.hint);
});

test("what is thrown and unknown becomes internal_error, with its cause", () => {
  const cause = new TypeError("x is undefined");
  expect(toInkstoneError(cause)).toMatchObject({ code: "internal_error", message: "x is undefined", cause });
  expect(toInkstoneError("text").message).toBe("text");
  const known = new InkstoneError("not_found", "none");
  expect(toInkstoneError(known)).toBe(known);
});
