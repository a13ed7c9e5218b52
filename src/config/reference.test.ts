import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { configurationTable } from "./reference.ts";
import { configKeys } from "./schema.ts";
import { fileKey } from "./setting-names.ts";

const page = fileURLToPath(new URL("../../docs/configuration.md", import.meta.url));

test("every setting has a row", () => {
  const table = configurationTable();
  for (const key of configKeys) expect(table).toContain(`\n| \`${fileKey(key)}\``);
});

/** `npx vitest run src/config/reference.test.ts --update` writes the table anew. */
test("docs/configuration.md holds the current table", async () => {
  const [before, rest = ""] = readFileSync(page, "utf8").split("<!-- settings:begin -->");
  const [, after] = rest.split("<!-- settings:end -->");
  expect(after).toBeDefined();
  const current = `${before}<!-- settings:begin -->\n${configurationTable()}\n<!-- settings:end -->${after}`;
  await expect(current).toMatchFileSnapshot(page);
});
