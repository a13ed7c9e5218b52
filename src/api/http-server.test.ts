import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import type { AppEnv } from "./deps.ts";
import { createDeferred } from "./deferred.ts";
import { serveHttp } from "./http-server.ts";

const options = { host: "127.0.0.1", port: 0, requestTimeoutMs: 5000 };

describe("serveHttp", () => {
  test("listens, names its address, and closes", async () => {
    const app = new Hono<AppEnv>().get("/", (c) => c.text("hello"));
    const server = await serveHttp(app, options);
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`);
    expect(await (await fetch(server.url)).text()).toBe("hello");
    expect(await server.close(1000)).toBe(true);
    await expect(fetch(server.url)).rejects.toThrow();
  });

  test("a taken port is an error that names a free one", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as AddressInfo;
    await expect(serveHttp(new Hono<AppEnv>(), { ...options, port })).rejects.toMatchObject({
      code: "port_in_use",
      message: expect.stringMatching(
        new RegExp(`^port ${port} on 127\\.0\\.0\\.1 is taken by another program; \\d+ is free$`),
      ),
    });
    other.close();
  });

  test("a host that is not this machine's", async () => {
    await expect(serveHttp(new Hono<AppEnv>(), { ...options, host: "192.0.2.1" })).rejects.toMatchObject({
      code: "invalid_config",
      param: "host",
    });
  });

  test("close waits for what is under way and takes nothing new", async () => {
    const started = createDeferred<void>();
    const release = createDeferred<void>();
    const app = new Hono<AppEnv>().get("/", async (c) => {
      started.resolve();
      await release.promise;
      return c.text("late");
    });
    const server = await serveHttp(app, options);
    const answer = fetch(server.url);
    await started.promise;
    const closed = server.close(10_000);
    await expect(fetch(server.url)).rejects.toThrow();
    release.resolve();
    expect(await (await answer).text()).toBe("late");
    expect(await closed).toBe(true);
  });

  test("close ends what does not end in time", async () => {
    const started = createDeferred<void>();
    const app = new Hono<AppEnv>().get("/", async () => {
      started.resolve();
      return new Promise<Response>(() => {});
    });
    const server = await serveHttp(app, options);
    const answer = fetch(server.url).then(
      () => "answered",
      () => "ended",
    );
    await started.promise;
    expect(await server.close(0)).toBe(false);
    expect(await answer).toBe("ended");
  });
});
