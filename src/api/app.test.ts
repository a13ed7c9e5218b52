import { describe, expect, test } from "vitest";
import { createTestApp } from "../../test/support/api-request.ts";
import type { Json } from "../../test/support/api-request.ts";

const chat = { messages: [{ role: "user", content: "secret words" }] };

async function json(response: Response | Promise<Response>): Promise<Json> {
  return (await response).json();
}

describe("paths and methods", () => {
  test("an unknown path is not_found in OpenAI's envelope", async () => {
    const response = await createTestApp().app.request("/v2/nothing");
    expect(response.status).toBe(404);
    expect(await json(response)).toEqual({
      error: {
        message: "GET /v2/nothing is not a path of this server",
        type: "not_found_error",
        param: null,
        code: "not_found",
        hint: expect.any(String),
      },
    });
  });

  test.each([
    ["GET", "/v1/chat/completions", "POST"],
    ["DELETE", "/v1/models", "GET, HEAD"],
    ["POST", "/v1/models/fake-model", "GET, HEAD"],
    ["PUT", "/health", "GET, HEAD"],
    ["OPTIONS", "/v1/chat/completions", "POST"],
  ])("%s %s is 405 with Allow", async (method, path, allow) => {
    const response = await createTestApp().app.request(path, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allow);
    expect((await json(response)).error.code).toBe("method_not_allowed");
  });

  test("GET / and HEAD / say what this is", async () => {
    const { app } = createTestApp();
    expect((await json(app.request("/"))).name).toBe("inkstone");
    const head = await app.request("/", { method: "HEAD" });
    expect(head.status).toBe(200);
    expect(await head.text()).toBe("");
  });
});

describe("models", () => {
  test("the list, one by name, one by alias, an unknown one", async () => {
    const { app } = createTestApp({ contextWindow: 99 });
    const list = await json(app.request("/v1/models"));
    expect(list.object).toBe("list");
    expect(list.data).toMatchObject([
      { id: "fake-model", object: "model", owned_by: "inkstone", created: 1_700_000_000, max_model_len: 99 },
    ]);
    expect((await json(app.request("/v1/models/fake-model"))).id).toBe("fake-model");
    expect((await json(app.request("/v1/models/alias"))).id).toBe("fake-model");
    const unknown = await app.request("/v1/models/org/other");
    expect(unknown.status).toBe(404);
    expect((await json(unknown)).error).toMatchObject({ code: "model_not_found", param: "model" });
  });
});

describe("health", () => {
  test("ready", async () => {
    const { app } = createTestApp();
    for (const path of ["/health", "/health/ready", "/health/live"]) {
      expect(await json(app.request(path))).toEqual({ status: "ok" });
    }
  });

  test("not ready: 503, but alive", async () => {
    const { app } = createTestApp({ isReady: () => false });
    const response = await app.request("/health");
    expect(response.status).toBe(503);
    expect((await json(response)).models).toEqual([{ name: "fake-model", state: "ready" }]);
    expect((await app.request("/health/ready")).status).toBe(503);
    expect((await app.request("/health/live")).status).toBe(200);
  });

  test("not ready when the engine has failed for good", async () => {
    const { app, engine } = createTestApp();
    engine.state = "failed";
    const response = await app.request("/health");
    expect(response.status).toBe(503);
    expect((await json(response)).models).toEqual([{ name: "fake-model", state: "failed" }]);
    engine.state = "restarting";
    expect((await app.request("/health")).status).toBe(200);
  });
});

describe("request ids", () => {
  test("a proper one is kept, others are replaced, all answers carry one", async () => {
    const { app } = createTestApp();
    const idOf = async (path: string, id?: string) =>
      (await app.request(path, { headers: id === undefined ? {} : { "x-request-id": id } })).headers.get(
        "x-request-id",
      );
    expect(await idOf("/health", "abc-1_2=")).toBe("abc-1_2=");
    expect(await idOf("/missing", "abc")).toBe("abc");
    expect(await idOf("/health", "no spaces")).toMatch(/^[0-9a-f-]{36}$/);
    expect(await idOf("/health", "x".repeat(200))).toMatch(/^[0-9a-f-]{36}$/);
    expect(await idOf("/health")).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("API keys", () => {
  const keys = "sk-one\nteam: sk-two";

  test.each([
    ["no header", {}],
    ["a wrong key", { authorization: "Bearer sk-three" }],
    ["another scheme", { authorization: "Basic sk-one" }],
    ["an empty key", { authorization: "Bearer " }],
  ])("%s is 401", async (_name, headers) => {
    const { app } = createTestApp({ keys });
    const response = await app.request("/v1/models", { headers });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect((await json(response)).error).toMatchObject({
      code: "invalid_api_key",
      type: "authentication_error",
    });
  });

  test.each(["sk-one", "sk-two"])("the key %s is accepted", async (key) => {
    const { app } = createTestApp({ keys });
    const response = await app.request("/v1/models", { headers: { authorization: `bearer ${key}` } });
    expect(response.status).toBe(200);
  });

  test("probes and the description need none; metrics, tokenize and unknown paths do", async () => {
    const { app } = createTestApp({ keys });
    for (const path of ["/", "/health", "/health/live", "/health/ready", "/openapi.json"]) {
      expect((await app.request(path)).status).toBe(200);
    }
    for (const path of ["/metrics", "/tokenize", "/other"]) {
      expect((await app.request(path)).status).toBe(401);
    }
  });

  test("keys separate the prefix cache, unless they share it", async () => {
    const separate = createTestApp({ keys });
    const shared = createTestApp({ keys, settings: { shareCacheAcrossKeys: true } });
    const namespaces = async ({ post, engine }: typeof separate) => {
      for (const key of ["sk-one", "sk-two", "sk-one"]) {
        await post("/v1/chat/completions", chat, { authorization: `Bearer ${key}` });
      }
      return engine.requests.map((request) => request.cacheNamespace);
    };
    const [one, two, oneAgain] = await namespaces(separate);
    expect(one).not.toBe(two);
    expect(one).toBe(oneAgain);
    expect(new Set(await namespaces(shared)).size).toBe(1);
  });
});

describe("CORS", () => {
  const preflight = {
    method: "OPTIONS",
    headers: {
      origin: "https://a.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type",
    },
  };

  test("off: no header", async () => {
    const { app } = createTestApp();
    const response = await app.request("/v1/models", { headers: { origin: "https://a.example" } });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("on: the named origins, also for preflights without a key and for errors and streams", async () => {
    const { app, post } = createTestApp({ keys: "k", settings: { corsOrigins: ["https://a.example"] } });
    const answer = await app.request("/v1/chat/completions", preflight);
    expect(answer.status).toBe(204);
    expect(answer.headers.get("access-control-allow-origin")).toBe("https://a.example");
    expect(answer.headers.get("access-control-allow-headers")).toContain("authorization");
    const refused = await app.request("/v1/models", { headers: { origin: "https://a.example" } });
    expect(refused.status).toBe(401);
    expect(refused.headers.get("access-control-allow-origin")).toBe("https://a.example");
    const stream = await post(
      "/v1/chat/completions",
      { ...chat, stream: true },
      { origin: "https://a.example", authorization: "Bearer k" },
    );
    expect(stream.headers.get("access-control-allow-origin")).toBe("https://a.example");
    expect(stream.headers.get("content-type")).toContain("text/event-stream");
    await stream.text();
    const other = await app.request("/v1/models", { headers: { origin: "https://b.example" } });
    expect(other.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("on for any", async () => {
    const { app } = createTestApp({ settings: { corsOrigins: ["*"] } });
    const response = await app.request("/health", { headers: { origin: "https://x.example" } });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
  });
});

describe("logs", () => {
  test("one line with tokens and the key's label, never content or the key", async () => {
    const { post, log } = createTestApp({ keys: "team: sk-secret", reply: "private answer" });
    await post("/v1/chat/completions", chat, { authorization: "Bearer sk-secret", "x-request-id": "r1" });
    expect(log).toHaveLength(1);
    expect(JSON.parse(log[0] ?? "")).toMatchObject({
      level: "info",
      msg: "request",
      requestId: "r1",
      method: "POST",
      path: "/v1/chat/completions",
      status: 200,
      model: "fake-model",
      completionTokens: 14,
      key: "team",
    });
    expect(log[0]).not.toMatch(/secret|private/);
  });

  test("a stream is logged when it has ended", async () => {
    const { post, log, engine } = createTestApp({ pace: "manual", reply: "ab" });
    const response = await post("/v1/chat/completions", { ...chat, stream: true });
    expect(log).toHaveLength(0);
    for (let step = 0; step < 3; step++) engine.step();
    await response.text();
    expect(log).toHaveLength(1);
    expect(JSON.parse(log[0] ?? "")).toMatchObject({ stream: true, completionTokens: 2, status: 200 });
  });

  test("errors by code, without the message, which may hold content", async () => {
    const { post, log } = createTestApp();
    await post("/v1/chat/completions", { messages: "secret words" });
    expect(JSON.parse(log[0] ?? "")).toMatchObject({ status: 400, errorCode: "invalid_request" });
    expect(log[0]).not.toContain("secret");
  });

  test("probes are logged at debug", async () => {
    const { app, log } = createTestApp();
    await app.request("/health");
    expect(JSON.parse(log[0] ?? "").level).toBe("debug");
  });
});

describe("unexpected failures", () => {
  test("the client sees no internals, the log does", async () => {
    const { post, log, engine } = createTestApp();
    engine.tokenize = () => Promise.reject(new TypeError("internal detail"));
    const response = await post("/v1/chat/completions", chat, { "x-request-id": "r9" });
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).toContain("r9");
    expect(text).not.toContain("internal detail");
    expect(log.join("")).toContain("internal detail");
  });
});

describe("metrics", () => {
  test("requests of the API and counters of the engine", async () => {
    const { app, postOk } = createTestApp();
    await postOk("/v1/chat/completions", chat);
    await app.request("/nothing-here");
    const response = await app.request("/metrics");
    expect(response.headers.get("content-type")).toContain("text/plain; version=0.0.4");
    const text = await response.text();
    expect(text).toContain('inkstone:num_requests_waiting{model_name="fake-model"} 2');
    expect(text).toContain('inkstone:kv_cache_usage_perc{model_name="fake-model"} 0.25');
    expect(text).toContain(
      'inkstone:request_success_total{model_name="fake-model",finished_reason="stop"} 1',
    );
    expect(text).toContain('inkstone:time_to_first_token_seconds_count{model_name="fake-model"} 1');
    expect(text).toContain('inkstone:inter_token_latency_seconds_count{model_name="fake-model"} 5');
    expect(text).toContain('route="/v1/chat/completions",method="POST",status="200"} 1');
    expect(text).toContain('route="unmatched",method="GET",status="404"} 1');
  });
});

describe("openapi.json", () => {
  test("describes every route, with the schemas that check", async () => {
    const { app } = createTestApp();
    const document = await json(app.request("/openapi.json"));
    expect(document.openapi).toBe("3.1.0");
    const described = Object.entries(document.paths as Record<string, object>).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const routes = app.routes
      .filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path.replace(":id{.+}", "{id}")}`);
    expect(described.toSorted()).toEqual([...new Set(routes)].toSorted());
    const schema = document.paths["/v1/chat/completions"].post.requestBody.content["application/json"].schema;
    expect(schema.required).toEqual(["messages"]);
    expect(schema.properties.min_p).toBeDefined();
  });
});
