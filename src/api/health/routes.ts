/** Probes. */
import type { Hono } from "hono";
import type { AppDeps, AppEnv } from "../deps.ts";

/** Adds /health and /health/ready (503 while models load, while the server drains, and when no engine works any more) and /health/live. */
export function addHealthRoutes(app: Hono<AppEnv>, { isReady, engines }: AppDeps): void {
  app.get("/health/live", (c) => c.json({ status: "ok" }));
  for (const path of ["/health", "/health/ready"]) {
    app.get(path, (c) => {
      const models = engines.list().map(({ name, client }) => ({ name, state: client.state }));
      if (isReady() && models.some(({ state }) => state !== "failed")) return c.json({ status: "ok" });
      return c.json({ status: "unavailable", models }, 503);
    });
  }
}
