import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Manifest } from "./manifest.ts";
import { createModelStore } from "./store.ts";
import type { ModelStore, NewFile } from "./store.ts";

let root = "";
let store: ModelStore;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "inkstone-store-"));
  store = createModelStore({ directory: join(root, "models"), now: () => 1000 });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

let nFiles = 0;
function newFile(text: string): NewFile {
  const path = join(root, `new-${(nFiles += 1)}`);
  writeFileSync(path, text);
  return { path, name: "m.gguf", sha256: createHash("sha256").update(text).digest("hex") };
}

async function add(name: string, ...texts: string[]): Promise<Manifest> {
  return await store.add({ name, reference: `pypi:${name}`, origin: "o", files: texts.map(newFile) });
}

const blob = (text: string): string =>
  join(store.directory, "blobs", `sha256-${createHash("sha256").update(text).digest("hex")}`);

describe("a stored model", () => {
  test("is found by name and reference, and listed", async () => {
    const manifest = await add("a:1/b*", "one", "two");
    expect(store.find("a:1/b*")).toEqual(manifest);
    expect(store.find("pypi:a:1/b*")).toEqual(manifest);
    expect(store.find("a")).toBeNull();
    const again = createModelStore({ directory: store.directory });
    expect(again.list()).toMatchObject([
      {
        name: "a:1/b*",
        reference: "pypi:a:1/b*",
        sizeBytes: 6,
        modifiedAtMs: 1000,
        paths: [blob("one"), blob("two")],
      },
    ]);
    expect(await again.intactPaths(manifest)).toEqual([blob("one"), blob("two")]);
  });

  test("with a very long name is stored", async () => {
    const name = "n".repeat(400);
    await add(name, "one");
    await add(`${name}2`, "two");
    expect(store.find(name)?.files).toHaveLength(1);
    expect(store.list()).toHaveLength(2);
  });

  test("replaces one of its name", async () => {
    await add("a", "one");
    await add("a", "two");
    expect(store.list()).toMatchObject([{ paths: [blob("two")] }]);
  });
});

describe("what is damaged", () => {
  test("a file that is gone or shorter", async () => {
    const manifest = await add("a", "one");
    writeFileSync(blob("one"), "on");
    expect(await store.intactPaths(manifest)).toBeNull();
    rmSync(blob("one"));
    expect(await store.intactPaths(manifest)).toBeNull();
    expect(store.findFile(createHash("sha256").update("one").digest("hex"))).toBeNull();
  });

  test("other bytes of the same length: seen when the time changed, or when every byte is checked", async () => {
    const manifest = await add("a", "one");
    const { atimeMs, mtimeMs } = statSync(blob("one"));
    writeFileSync(blob("one"), "two");
    utimesSync(blob("one"), atimeMs / 1000, mtimeMs / 1000);
    expect(await store.intactPaths(manifest)).not.toBeNull();
    expect(await store.intactPaths(manifest, { everyByte: true })).toBeNull();
    utimesSync(blob("one"), 1, 1);
    expect(await store.intactPaths(manifest)).toBeNull();
  });

  test("a copy with other times is checked once and then remembered", async () => {
    const manifest = await add("a", "one");
    utimesSync(blob("one"), 5, 5);
    expect(await store.intactPaths(manifest)).toEqual([blob("one")]);
    expect(store.find("a")?.files[0]?.modifiedAtMs).toBe(5000);
  });

  test("a manifest counts as absent", async () => {
    await add("a", "one");
    writeFileSync(join(store.directory, "manifests", "a.json"), "{");
    writeFileSync(
      join(store.directory, "manifests", "b.json"),
      JSON.stringify({ manifestVersion: 1, name: "b", files: [{ digest: "../../x" }] }),
    );
    expect(store.list()).toEqual([]);
  });
});

describe("removing", () => {
  test("takes the files that no other model needs", async () => {
    await add("a", "one", "shared");
    await add("b", "shared");
    expect(await store.remove("a")).toEqual({ names: ["a"], freedBytes: 3 });
    expect(existsSync(blob("one"))).toBe(false);
    expect(existsSync(blob("shared"))).toBe(true);
    expect(await store.remove("pypi:b")).toEqual({ names: ["b"], freedBytes: 6 });
    expect(readdirSync(join(store.directory, "locks"))).toEqual([]);
  });

  test("by digest takes all models of it, and refuses what is not clear", async () => {
    const manifest = await add("a", "one");
    await add("b", "one");
    const digest = manifest.files[0]?.digest ?? "";
    await expect(store.remove(digest.slice(7, 12))).rejects.toMatchObject({ code: "model_unknown" });
    expect((await store.remove(digest.slice(7, 19))).names).toEqual(["a", "b"]);
    await expect(store.remove("a")).rejects.toMatchObject({ code: "model_unknown" });
  });

  test("refuses a model in use, until it is released", async () => {
    await add("a", "one");
    const release = store.use([blob("one"), "/elsewhere/m.gguf"]);
    await expect(store.remove("a")).rejects.toMatchObject({
      code: "model_in_use",
      message: expect.stringContaining(`process ${process.pid}`),
    });
    release();
    expect((await store.remove("a")).names).toEqual(["a"]);
  });

  test.runIf(process.platform === "linux")("does not heed a user that is gone", async () => {
    await add("a", "one");
    const digest = store.find("a")?.files[0]?.digest;
    const release = store.use([blob("one")]);
    const [entry = ""] = readdirSync(join(store.directory, "uses"));
    release();
    const path = join(store.directory, "uses", entry);
    writeFileSync(
      path,
      JSON.stringify({ pid: 1, startedAt: "0", machine: "", token: "t", digests: [digest] }),
    );
    utimesSync(path, 5, 5);
    expect((await store.remove("a")).names).toEqual(["a"]);
  });
});

test("pruning takes what nobody needs and leaves what somebody is busy with", async () => {
  await add("a", "old");
  await add("a", "new");
  await add("c", "served");
  const release = store.use([blob("served")]);
  rmSync(join(store.directory, "manifests", "c.json"));
  mkdirSync(store.partialPath(""), { recursive: true });
  writeFileSync(store.partialPath("busy.whl"), "12");
  writeFileSync(store.partialPath("idle.whl"), "1234");
  writeFileSync(store.partialPath("resumable.whl"), "123456");
  for (const name of ["busy.whl", "idle.whl"]) utimesSync(store.partialPath(name), 5, 5);
  const abandoned = join(store.directory, "manifests", "a.json.1.tmp");
  writeFileSync(abandoned, "{}");
  utimesSync(abandoned, 5, 5);
  const lock = await store.lock("busy");
  expect((await store.prune()).freedBytes).toBe(3 + 4 + 2);
  expect(existsSync(abandoned)).toBe(false);
  lock.release();
  release();
  expect(existsSync(blob("new"))).toBe(true);
  expect(existsSync(blob("served"))).toBe(true);
  expect(readdirSync(store.partialPath("")).toSorted()).toEqual(["busy.whl", "resumable.whl"]);
});

test("an empty store is empty, and stays unwritten by looking at it", async () => {
  expect(store.list()).toEqual([]);
  expect(store.find("a")).toBeNull();
  expect(await store.prune()).toEqual({ names: [], freedBytes: 0 });
  expect(existsSync(store.directory)).toBe(false);
});

test("a directory that cannot be made is named", async () => {
  writeFileSync(join(root, "file"), "");
  const broken = createModelStore({ directory: join(root, "file", "models") });
  expect(() => broken.partialPath("x")).toThrow(
    expect.objectContaining({
      code: "cache_not_writable",
      message: expect.stringContaining(join(root, "file")),
    }),
  );
});
