/** The application on a socket. */
import { randomUUID } from "node:crypto";
import { STATUS_CODES, createServer as createHttpServer } from "node:http";
import type { Server } from "node:http";
import { createServer as createNetServer } from "node:net";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";
import { InkstoneError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import type { AppEnv } from "./deps.ts";
import { toErrorBody } from "./error-response.ts";

export interface HttpServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** For a request's headers and body to arrive. Bodies that are read are limited by the application itself. */
  readonly requestTimeoutMs: number;
  /** Told of errors of the listening socket, such as no free file descriptors; it goes on listening where it can. */
  readonly onError?: (error: Error) => void;
}

export interface HttpServer {
  readonly host: string;
  readonly port: number;
  /** Such as "http://127.0.0.1:8080". */
  readonly url: string;
  /**
   * Takes no new connections, waits up to `drainMs` for the answers that are under way, then ends what is left. Resolves when
   * no connection is open any more; true when all answers were complete.
   */
  close(drainMs: number): Promise<boolean>;
}

const portsToTry = 20;
const drainCheckMs = 50;
/** Longer than the idle time of usual proxies, so that they, not we, close connections that they might still use. */
const keepAliveTimeoutMs = 75_000;
const backstopMs = 5_000;

/** Listens. Rejects with `port_in_use` (naming a free port nearby) or `invalid_config` for a host or port that cannot be bound. */
export async function serveHttp(app: Hono<AppEnv>, options: HttpServerOptions): Promise<HttpServer> {
  const { host, port, requestTimeoutMs } = options;
  const server = createAdaptorServer({
    fetch: app.fetch,
    hostname: host,
    createServer: createHttpServer,
    serverOptions: {
      // The application answers slow bodies itself; this ends what never reaches it.
      requestTimeout: requestTimeoutMs + backstopMs,
      headersTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(1000, requestTimeoutMs),
      keepAliveTimeout: keepAliveTimeoutMs,
    },
  }) as Server;
  server.on("clientError", answerClientError);
  let nActive = 0;
  server.on("request", (_request, response) => {
    nActive++;
    response.once("close", () => nActive--);
  });
  await listen(server, host, port);
  // An error that nobody listens to would end the process.
  server.on("error", (error) => options.onError?.(error));
  const address = server.address() as AddressInfo;

  const close = async (drainMs: number): Promise<boolean> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const deadlineMs = performance.now() + drainMs;
    while (nActive > 0 && performance.now() < deadlineMs) {
      // Connections that were busy when the server was closed stay open for another request that must not come.
      server.closeIdleConnections();
      await sleep(drainCheckMs);
    }
    const isDrained = nActive === 0;
    server.closeAllConnections();
    await closed;
    return isDrained;
  };

  const shownHost = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return { host: address.address, port: address.port, url: `http://${shownHost}:${address.port}`, close };
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") {
      const free = await findFreePort(host, port + 1);
      const near = free === null ? "" : `; ${free} is free`;
      throw new InkstoneError("port_in_use", `port ${port} on ${host} is taken by another program${near}`, {
        param: "port",
        cause: error,
      });
    }
    if (code === "EACCES") {
      throw new InkstoneError("invalid_config", `port ${port} needs rights that this process has not`, {
        param: "port",
        cause: error,
      });
    }
    throw new InkstoneError("invalid_config", `cannot listen on ${host}: ${message}`, {
      param: "host",
      cause: error,
    });
  }
}

/** The first port from `start` on that can be bound now, or null. */
async function findFreePort(host: string, start: number): Promise<number | null> {
  for (let port = start; port < start + portsToTry && port <= 65_535; port++) {
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = createNetServer();
      probe.once("error", () => resolve(false));
      probe.listen({ host, port }, () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
  return null;
}

/** Requests that the HTTP parser refuses never reach the application; they get the same envelope. */
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, code, message] = describeClientError(error);
  const body = JSON.stringify(toErrorBody(new InkstoneError(code, message)));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nContent-Type: application/json\r\nX-Request-Id: ${randomUUID()}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function describeClientError(error: NodeJS.ErrnoException): [number, ErrorCode, string] {
  switch (error.code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return [408, "request_timeout", "the request did not arrive in time"];
    case "HPE_HEADER_OVERFLOW":
      return [431, "headers_too_large", "the headers are too large"];
    default:
      return [400, "invalid_request", "this is not a valid HTTP request"];
  }
}
