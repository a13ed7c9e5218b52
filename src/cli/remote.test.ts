import { describe, expect, test } from "vitest";

import { loadConfig } from "../config/load.ts";
import type { ConfigInputs } from "../config/load.ts";
import { serverTarget } from "./remote.ts";

const keys = "# keys of the team\n\nada: key-of-ada\nkey-of-bob\n";
const userFile = "/home/ada/.config/inkstone/config.yaml";

function target(url: string | undefined, flags: Record<string, string>, yaml = "", env = {}) {
  const files: Record<string, string> = { [userFile]: yaml, "/keys": keys, "/empty": "# none\n" };
  const inputs: Omit<ConfigInputs, "flags"> = {
    env,
    readFile: (path) => files[path] ?? null,
    cwd: "/here",
    homeDir: "/home/ada",
    platform: "linux",
  };
  return serverTarget({ inputs }, loadConfig({ ...inputs, flags }), url);
}

describe("a key of the configuration", () => {
  test("goes to the configured server", () => {
    const expected = { url: "http://127.0.0.1:8080", apiKey: "key-of-ada" };
    expect(target(undefined, {}, "api_key_file: /keys")).toEqual(expected);
    expect(target(undefined, {}, "", { INKSTONE_API_KEY_FILE: "/keys" })).toEqual(expected);
  });

  test("goes nowhere else, unless a flag names its file", () => {
    const url = "http://elsewhere.example";
    expect(target(url, {}, "api_key_file: /keys")).toEqual({ url, apiKey: null });
    expect(target(url, {}, "", { INKSTONE_API_KEY_FILE: "/keys" })).toEqual({ url, apiKey: null });
    expect(target(url, { "--api-key-file": "/keys" })).toEqual({ url, apiKey: "key-of-ada" });
  });

  test("a file without one is refused", () => {
    expect(() => target(undefined, { "--api-key-file": "/empty" })).toThrow("holds no API key");
    expect(() => target(undefined, { "--api-key-file": "/none" })).toThrow("there is no file /none");
  });
});

test("without an address, the configured host and port are asked", () => {
  const flags = { "--host": "192.168.1.2", "--port": "9000" };
  expect(target(undefined, flags).url).toBe("http://192.168.1.2:9000");
  expect(target(undefined, { "--host": "0.0.0.0" }).url).toBe("http://127.0.0.1:8080");
});
