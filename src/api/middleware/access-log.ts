/** One log line and one observation for each request. */
import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { AppDeps, AppEnv } from "../deps.ts";
import { createRequestRecord } from "../request-record.ts";

/** Logs method, path, status, time, tokens and the key's label when the answer is complete; never content or keys. */
export function accessLog({ logger, metrics, now }: AppDeps): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const startMs = now();
    const { record, close } = createRequestRecord(({ hold: _hold, ...fields }) => {
      const ms = now() - startMs;
      const { status } = c.res;
      metrics.httpRequest(routeLabel(routePath(c, -1)), c.req.method, status, ms / 1000);
      const line = {
        requestId: c.get("requestId"),
        method: c.req.method,
        path: c.req.path,
        status,
        ms: Math.round(ms),
        ...fields,
        ...(c.get("apiKey") && { key: c.get("apiKey")?.label }),
      };
      // Probes and scrapes come every few seconds.
      if ((status < 400 || status === 503) && isRoutine(c.req.path)) logger.debug(line, "request");
      else logger.info(line, "request");
    });
    c.set("record", record);
    c.set("apiKey", null);
    await next();
    close();
  };
}

function isRoutine(path: string): boolean {
  return path === "/metrics" || path.startsWith("/health");
}

function routeLabel(route: string): string {
  return route === "*" || route === "/*" ? "unmatched" : route;
}
