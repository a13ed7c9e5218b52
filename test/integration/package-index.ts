/** A package index over HTTP for tests, which misbehaves on request. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Answers one request in place of the index; "pass" lets the index answer. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => void | "pass";

/** What the index knows of a wheel. */
export interface IndexedWheel {
  readonly fileName: string;
  readonly bytes: Buffer;
  /** What the page says; the truth by default, null for nothing. */
  readonly sha256?: string | null;
  readonly sizeBytes?: number | null;
  /** Address of the file, where it is not this server's. */
  readonly url?: string;
}

/** How the index answers. */
export interface IndexOptions {
  readonly form?: "json" | "html";
  readonly supportsRange?: boolean;
  readonly sendsLength?: boolean;
  /** `user:password` that every request must carry. */
  readonly credentials?: string;
  /** Pause after each piece of a file, which is then sent in 64 KiB pieces. */
  readonly pauseMs?: number;
}

/** A request that the index got. */
export interface SeenRequest {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** The running index. */
export interface PackageIndex {
  readonly origin: string;
  /** For PIP_INDEX_URL. */
  readonly url: string;
  readonly requests: SeenRequest[];
  /** Requests for files. */
  fileRequests(): SeenRequest[];
  /** Used up one a request, for pages and files apart. */
  readonly pageFaults: Fault[];
  readonly fileFaults: Fault[];
  close(): Promise<void>;
}

const pieceBytes = 64 * 1024;

/** Starts an index on a free port of this machine. */
export async function startPackageIndex(
  packages: Readonly<Record<string, readonly IndexedWheel[]>>,
  options: IndexOptions = {},
): Promise<PackageIndex> {
  const { form = "json", supportsRange = true, sendsLength = true, credentials, pauseMs = 0 } = options;
  const requests: SeenRequest[] = [];
  const pageFaults: Fault[] = [];
  const fileFaults: Fault[] = [];

  const sendPage = (wheels: readonly IndexedWheel[], response: ServerResponse): void => {
    const files = wheels.map(({ fileName, bytes, sha256, sizeBytes, url = `/files/${fileName}` }) => ({
      filename: fileName,
      url,
      hash: sha256 === undefined ? createHash("sha256").update(bytes).digest("hex") : sha256,
      size: sizeBytes === undefined ? bytes.length : sizeBytes,
    }));
    if (form === "html") {
      const links = files.map((file) => `<a href="${file.url}#sha256=${file.hash}">${file.filename}</a>`);
      response.setHeader("content-type", "text/html").end(`<!DOCTYPE html><body>${links.join("\n")}</body>`);
      return;
    }
    const json = files.map(({ filename, url, hash, size }) => ({
      filename,
      url,
      hashes: hash === null ? {} : { sha256: hash },
      ...(size === null ? {} : { size }),
    }));
    response
      .setHeader("content-type", "application/vnd.pypi.simple.v1+json")
      .end(JSON.stringify({ meta: { "api-version": "1.1" }, files: json }));
  };

  const sendFile = async (
    bytes: Buffer,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const isPart = supportsRange && request.headers.range !== undefined;
    if (isPart && start >= bytes.length) {
      response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
      return;
    }
    const body = isPart ? bytes.subarray(start) : bytes;
    response.writeHead(isPart ? 206 : 200, {
      "content-type": "application/octet-stream",
      ...(sendsLength ? { "content-length": body.length } : {}),
      ...(isPart ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    for (let at = 0; at < body.length && !response.destroyed; at += pieceBytes) {
      const piece = body.subarray(at, at + pieceBytes);
      await new Promise<void>((resolve) => {
        response.write(piece, () => resolve());
      });
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    response.end();
  };

  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname);
    const { range, authorization } = request.headers;
    requests.push({ path, range, authorization });
    const isFile = path.startsWith("/files/");
    const fault = (isFile ? fileFaults : pageFaults).shift();
    if (fault !== undefined && fault(request, response) !== "pass") return;
    const expected =
      credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString("base64")}`;
    if (expected !== undefined && authorization !== expected) {
      response.writeHead(401).end();
      return;
    }
    const wheel = Object.values(packages)
      .flat()
      .find(({ fileName }) => path === `/files/${fileName}`);
    const wheels = packages[/^\/simple\/([^/]+)\/$/.exec(path)?.[1] ?? ""];
    if (wheel !== undefined) void sendFile(wheel.bytes, request, response);
    else if (wheels !== undefined) sendPage(wheels, response);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;
  return {
    origin,
    url: `${origin}/simple`,
    requests,
    fileRequests: () => requests.filter(({ path }) => path.startsWith("/files/")),
    pageFaults,
    fileFaults,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
