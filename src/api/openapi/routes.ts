/** GET /openapi.json. */
import type { Hono } from "hono";
import type { AppDeps, AppEnv } from "../deps.ts";
import { createOpenApiDocument } from "./document.ts";

/** Adds the route. The document is made at the first request for it. */
export function addOpenApiRoutes(app: Hono<AppEnv>, { settings }: AppDeps): void {
  let document: object | null = null;
  app.get("/openapi.json", (c) => c.json((document ??= createOpenApiDocument(settings.version))));
}
