/** 405 for known paths. */
import type { Hono } from "hono";
import { InkstoneError } from "../../errors.ts";
import type { AppEnv } from "../deps.ts";

/** Answers other methods on every path that has a route by now with `method_not_allowed` and the header Allow. */
export function addMethodNotAllowed(app: Hono<AppEnv>): void {
  const methodsByPath = new Map<string, Set<string>>();
  for (const { method, path } of app.routes) {
    if (method === "ALL") continue;
    const methods = methodsByPath.get(path) ?? new Set<string>();
    methods.add(method);
    if (method === "GET") methods.add("HEAD");
    methodsByPath.set(path, methods);
  }
  for (const [path, methods] of methodsByPath) {
    const allowed = [...methods].join(", ");
    app.all(path, (c) => {
      c.header("Allow", allowed);
      throw new InkstoneError(
        "method_not_allowed",
        `${c.req.method} is not a method of ${c.req.path}; it has ${allowed}`,
      );
    });
  }
}
