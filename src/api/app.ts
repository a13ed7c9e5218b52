/** The HTTP application. */
import { randomUUID } from "node:crypto";
import { Hono } from "hono";
import { requestId } from "hono/request-id";
import { InkstoneError } from "../errors.ts";
import type { AppDeps, AppEnv } from "./deps.ts";
import { toErrorResponse, toPublicError } from "./error-response.ts";
import { addHealthRoutes } from "./health/routes.ts";
import { addMetricsRoutes } from "./metrics/routes.ts";
import { accessLog } from "./middleware/access-log.ts";
import { authenticate } from "./middleware/authenticate.ts";
import { browserGuard } from "./middleware/browser-guard.ts";
import { crossOrigin } from "./middleware/cross-origin.ts";
import { addMethodNotAllowed } from "./middleware/method-not-allowed.ts";
import { addOpenApiRoutes } from "./openapi/routes.ts";
import { addChatRoutes } from "./openai/chat/routes.ts";
import { addCompletionRoutes } from "./openai/completions/routes.ts";
import { addModelRoutes } from "./openai/models/routes.ts";
import { addTokenizeRoutes } from "./tokenize/routes.ts";

const routeAdders = [
  addChatRoutes,
  addCompletionRoutes,
  addModelRoutes,
  addTokenizeRoutes,
  addHealthRoutes,
  addMetricsRoutes,
  addOpenApiRoutes,
];

/** The application with all its routes. Every answer carries X-Request-Id, and every error OpenAI's envelope. */
export function createApp(deps: AppDeps): Hono<AppEnv> {
  const { settings, keyring, logger } = deps;
  const app = new Hono<AppEnv>();

  // Order: what is named first also sees the errors of what follows. Preflights carry no key.
  app.use(requestId({ limitLength: 128, generator: () => randomUUID() }));
  app.use(accessLog(deps));
  if (settings.corsOrigins.length > 0) app.use(crossOrigin(settings.corsOrigins));
  app.use(browserGuard(settings));
  app.use(authenticate(keyring));

  app.get("/", (c) =>
    c.json({
      name: "inkstone",
      version: settings.version,
      models: "/v1/models",
      description: "/openapi.json",
    }),
  );
  for (const addRoutes of routeAdders) addRoutes(app, deps);
  addMethodNotAllowed(app);

  app.notFound((c) => {
    const error = new InkstoneError(
      "not_found",
      `${c.req.method} ${c.req.path} is not a path of this server`,
    );
    c.get("record").errorCode = error.code;
    return toErrorResponse(c, error);
  });
  app.onError((thrown, c) => {
    const requestIdText = c.get("requestId");
    const error = toPublicError(thrown, requestIdText);
    const record = c.get("record");
    if (error.code === "interrupted") record.disconnected = true;
    else record.errorCode = error.code;
    if (error.code === "internal_error") {
      logger.error({ requestId: requestIdText, error: thrown }, "a request failed unexpectedly");
    }
    return toErrorResponse(c, error);
  });
  return app;
}
