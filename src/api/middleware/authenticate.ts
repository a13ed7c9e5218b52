/** Asks for an API key. */
import type { MiddlewareHandler } from "hono";
import { InkstoneError } from "../../errors.ts";
import type { AppEnv } from "../deps.ts";
import type { ApiKeyring } from "../keyring.ts";

/** Paths that answer without a key: probes must work before keys are distributed, and the rest says nothing of use. */
const openPaths: ReadonlySet<string> = new Set([
  "/",
  "/health",
  "/health/live",
  "/health/ready",
  "/openapi.json",
]);

/** Lets requests with a key of the ring pass, as `Authorization: Bearer KEY`; others end with `invalid_api_key`. */
export function authenticate(keyring: ApiKeyring | null): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (keyring === null || openPaths.has(c.req.path)) return next();
    const header = c.req.header("authorization");
    if (header === undefined) {
      throw new InkstoneError("invalid_api_key", "this server asks for an API key, and none was sent");
    }
    const key = /^bearer +(\S+)\s*$/i.exec(header)?.[1];
    const found = key === undefined ? null : keyring.find(key);
    if (found === null) throw new InkstoneError("invalid_api_key", "the API key is not one of this server's");
    c.set("apiKey", found);
    return next();
  };
}
