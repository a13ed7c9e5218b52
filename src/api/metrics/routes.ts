/** GET /metrics. */
import type { Hono } from "hono";
import type { AppDeps, AppEnv } from "../deps.ts";

/** Adds the route and gives the metrics their engines. */
export function addMetricsRoutes(app: Hono<AppEnv>, { metrics, engines }: AppDeps): void {
  metrics.setEngines(() =>
    engines.list().map(({ name, client }) => ({
      modelName: name,
      restarts: client.restarts,
      stats: client.stats,
    })),
  );
  app.get("/metrics", async (c) => {
    // A model that has answered nothing yet shows zeros, so that rates begin at its first request.
    for (const { name } of engines.list()) metrics.model(name);
    return c.body(await metrics.render(), 200, { "Content-Type": metrics.contentType });
  });
}
