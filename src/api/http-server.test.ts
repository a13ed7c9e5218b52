import { Server, connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { Hono } from "hono";
import { describe, expect, test, vi } from "vitest";
import type { AppEnv } from "./deps.ts";
import { createDeferred } from "./deferred.ts";
import { serveHttp } from "./http-server.ts";

const options = { host: "127.0.0.1", port: 0, requestTimeoutMs: 5000 };

/** Sends text as it is and gives all that comes back. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.end(text);
  let answer = "";
  for await (const chunk of socket.setEncoding("utf8")) answer += String(chunk);
  return answer;
}

describe("serveHttp", () => {
  test("what is no proper request gets the envelope and an id too", async () => {
    const server = await serveHttp(new Hono<AppEnv>(), options);
    const garbled = await exchange(server.port, "GARBLED\r\n\r\n");
    expect(garbled).toMatch(/^HTTP\/1\.1 400 /);
    expect(garbled).toMatch(/\r\nX-Request-Id: [\w-]{36}\r\n/);
    const headers = `GET / HTTP/1.1\r\nHost: a\r\nA: ${"x".repeat(30_000)}\r\n\r\n`;
    const long = await exchange(server.port, headers);
    expect(long).toMatch(/^HTTP\/1\.1 431 /);
    expect(long).toContain('"code":"headers_too_large"');
    await server.close(0);
  });

  test("an error of the listening socket is told and does not end the process", async () => {
    const listening: Server[] = [];
    const listen = vi.spyOn(Server.prototype, "listen").mockImplementation(function (
      this: Server,
      ...given: unknown[]
    ) {
      listening.push(this);
      listen.mockRestore();
      return Reflect.apply(Server.prototype.listen, this, given);
    });
    const errors: string[] = [];
    const server = await serveHttp(new Hono<AppEnv>(), {
      ...options,
      onError: (error) => errors.push(error.message),
    });
    listening[0]?.emit("error", new Error("accept EMFILE"));
    expect(errors).toEqual(["accept EMFILE"]);
    expect((await fetch(server.url)).status).toBe(404);
    await server.close(0);
  });

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
