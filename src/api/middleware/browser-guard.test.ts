import { describe, expect, test } from "vitest";
import { createTestApp } from "../../../test/support/api-request.ts";

const tokenize = (headers: Record<string, string>, settings: object = {}) =>
  createTestApp({ settings }).post("/tokenize", { prompt: "a" }, headers);

describe("pages of other origins", () => {
  test.each(["https://evil.example", "null", "file://", "http://localhost:3000"])(
    "a POST from %s is refused, whatever its content type",
    async (origin) => {
      for (const type of ["text/plain", "application/json"]) {
        const response = await tokenize({ origin, "content-type": type, host: "127.0.0.1:8080" });
        expect(response.status).toBe(403);
        expect(await response.json()).toMatchObject({
          error: { code: "origin_not_allowed", type: "permission_error" },
        });
      }
    },
  );

  test("clients without Origin, allowed origins, and the server's own pass", async () => {
    const passes = [
      tokenize({}),
      tokenize({ origin: "https://a.example" }, { corsOrigins: ["https://a.example"] }),
      tokenize({ origin: "https://b.example" }, { corsOrigins: ["*"] }),
      tokenize({ origin: "http://ai.example:8080", host: "ai.example:8080" }),
    ];
    for (const response of await Promise.all(passes)) expect(response.status).toBe(200);
  });
});

describe("the Host of a server for its own machine", () => {
  const onlyLocalHosts = true;
  test.each(["localhost:8080", "127.0.0.1:8080", "127.8.9.1", "[::1]:80", "app.localhost", "LOCALHOST."])(
    "%s passes",
    async (host) => {
      expect((await tokenize({ host }, { onlyLocalHosts })).status).toBe(200);
    },
  );

  test.each(["evil.example:8080", "127.0.0.1.evil.example", "192.168.0.9", "localhost.evil.example", "a b"])(
    "%s is refused, also with its own Origin",
    async (host) => {
      const response = await tokenize({ host, origin: `http://${host}` }, { onlyLocalHosts });
      expect(response.status).toBe(403);
      expect(await response.json()).toMatchObject({ error: { code: "host_not_allowed" } });
    },
  );

  test("other servers take any name, and so do hosts of allowed origins", async () => {
    expect((await tokenize({ host: "ai.example" })).status).toBe(200);
    const settings = { onlyLocalHosts, corsOrigins: ["https://ai.example"] };
    expect((await tokenize({ host: "ai.example" }, settings)).status).toBe(200);
  });
});
