/** Requests to an application without a socket. */
import type { Hono } from "hono";
import { createApp } from "../../src/api/app.ts";
import type { AppEnv } from "../../src/api/deps.ts";
import type { ErrorBody } from "../../src/api/error-response.ts";
import { createApiFixture } from "./api-deps.ts";
import type { ApiFixture, ApiFixtureOptions } from "./api-deps.ts";

/** Any JSON value of an answer, to be looked into by `expect`. */
export type Json = ReturnType<typeof JSON.parse>;

export interface TestApp extends ApiFixture {
  readonly app: Hono<AppEnv>;
  post(path: string, body: unknown, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** Posts and reads an answer that must be a 200. */
  postOk(path: string, body: unknown): Promise<Json>;
  /** Posts and reads an answer that must be an error. */
  postError(path: string, body: unknown): Promise<ErrorBody["error"] & { status: number }>;
  /** Posts with `stream: true` and gives the events' data, without the last `[DONE]`, which must be there. */
  postStream(path: string, body: object): Promise<Json[]>;
}

/** An application over a fake engine. */
export function createTestApp(options: ApiFixtureOptions = {}): TestApp {
  const fixture = createApiFixture(options);
  const app = createApp(fixture.deps);
  const post: TestApp["post"] = async (path, body, headers = {}) =>
    app.request(path, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json", ...headers },
    });
  return {
    ...fixture,
    app,
    post,
    async postOk(path, body) {
      const response = await post(path, body);
      if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
      return (await response.json()) as Json;
    },
    async postError(path, body) {
      const response = await post(path, body);
      const { error } = (await response.json()) as ErrorBody;
      return { ...error, status: response.status };
    },
    async postStream(path, body) {
      const response = await post(path, { ...body, stream: true });
      if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
      return parseEvents(await response.text());
    },
  };
}

/** The data of a whole stream of events; throws when `[DONE]` is not the last. */
export function parseEvents(text: string): Json[] {
  const events = text.split("\n\n");
  if (events.at(-1) !== "" || events.at(-2) !== "data: [DONE]") throw new Error(`no end in ${text}`);
  return events.slice(0, -2).map((event) => JSON.parse(event.replace(/^data: /, "")));
}
