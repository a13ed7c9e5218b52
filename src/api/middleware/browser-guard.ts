/** Keeps web pages that a user happens to visit from driving a server that only asks who can reach it. */
import type { MiddlewareHandler } from "hono";
import { InkstoneError } from "../../errors.ts";
import type { AppEnv } from "../deps.ts";

export interface BrowserGuardOptions {
  /** As in `ApiSettings`. */
  readonly corsOrigins: readonly string[];
  /** Take only requests that name this machine: a page whose name was bound to 127.0.0.1 names itself. */
  readonly onlyLocalHosts: boolean;
}

/**
 * Refuses requests that change or cost something from pages of other origins (`origin_not_allowed`), whatever their content type, and,
 * where only local hosts are taken, those that name another host (`host_not_allowed`).
 */
export function browserGuard({
  corsOrigins,
  onlyLocalHosts,
}: BrowserGuardOptions): MiddlewareHandler<AppEnv> {
  const isAnyAllowed = corsOrigins.includes("*");
  const allowedOrigins = new Set(corsOrigins);
  const allowedHosts = new Set(corsOrigins.map(hostOf));
  return async (c, next) => {
    if (isAnyAllowed) return next();
    const host = c.req.header("host");
    if (onlyLocalHosts && host !== undefined && !isLocalHost(host) && !allowedHosts.has(host)) {
      throw new InkstoneError(
        "host_not_allowed",
        `the request names the host ${JSON.stringify(host.slice(0, 200))}, but this server is there for its own machine only`,
      );
    }
    const origin = c.req.header("origin");
    if (c.req.method === "POST" && origin !== undefined && !allowedOrigins.has(origin)) {
      if (hostOf(origin) !== host) {
        throw new InkstoneError(
          "origin_not_allowed",
          `pages of ${JSON.stringify(origin.slice(0, 200))} may not use this server`,
        );
      }
    }
    return next();
  };
}

function hostOf(origin: string): string | null {
  try {
    return new URL(origin).host || null;
  } catch {
    return null;
  }
}

/** Does a Host header name this machine? */
function isLocalHost(host: string): boolean {
  let name: string;
  try {
    name = new URL(`http://${host}`).hostname.replace(/\.$/, "");
  } catch {
    return false;
  }
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    name === "[::1]" ||
    /^127(?:\.\d{1,3}){3}$/.test(name) ||
    name === "[::ffff:7f00:1]"
  );
}
