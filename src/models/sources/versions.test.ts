import { expect, test } from "vitest";
import { compareVersions, isSameVersion, parseVersion } from "./versions.ts";

test("versions are ordered as PEP 440 says", () => {
  const ordered = [
    "1.0.dev1",
    "1.0a1.dev1",
    "1.0a1",
    "1.0a2",
    "1.0b1",
    "1.0rc1",
    "1.0",
    "1.0.post1.dev1",
    "1.0.post1",
    "1.0.1",
    "1.2",
    "1.10",
    "1!0.1",
  ];
  const parsed = ordered.map((text) => parseVersion(text));
  for (const [index, version] of parsed.entries()) {
    const next = parsed[index + 1];
    if (version === null) throw new Error(`${ordered[index]} was not read`);
    if (next !== undefined && next !== null) {
      expect(compareVersions(version, next), `${ordered[index]} < ${ordered[index + 1]}`).toBeLessThan(0);
    }
  }
});

test("different spellings of a version are the same", () => {
  expect(isSameVersion("1.0", "v1.0.0")).toBe(true);
  expect(isSameVersion("1.0-alpha.1", "1.0a1")).toBe(true);
  expect(isSameVersion("1.0-1", "1.0.post1")).toBe(true);
  expect(isSameVersion("1.0", "1.0.1")).toBe(false);
  expect(isSameVersion("odd", "odd")).toBe(true);
});

test("pre-releases are recognised", () => {
  expect(parseVersion("2.0rc1")?.isPrerelease).toBe(true);
  expect(parseVersion("2.0.dev3")?.isPrerelease).toBe(true);
  expect(parseVersion("2.0.post3")?.isPrerelease).toBe(false);
  expect(parseVersion("latest")).toBeNull();
});
