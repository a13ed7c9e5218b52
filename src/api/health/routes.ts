/** Probes. */
import type { Hono } from "hono";
import type { AppDeps, AppEnv } from "../deps.ts";

/** Adds /health and /health/ready (503 while models load and while the server drains) and /health/live. */
export function addHealthRoutes(app: Hono<AppEnv>, { isReady, engines }: AppDeps): void {
  app.get("/health/live", (c) => c.json({ status: "ok" }));
  for (const path of ["/health", "/health/ready"]) {
    app.get(path, (c) => {
      if (isReady()) return c.json({ status: "ok" });
      const models = engines.list().map(({ name, client }) => ({ name, state: client.state }));
      return c.json({ status: "unavailable", models }, 503);
    });
  }
}
