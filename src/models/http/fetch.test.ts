import { expect, test } from "vitest";
import { parsePipSettings } from "../sources/pip-settings.ts";
import { toProxySettings } from "./fetch.ts";

const settings = (env: Readonly<Record<string, string>>): ReturnType<typeof toProxySettings> =>
  toProxySettings(parsePipSettings(env, []), env);

test("proxies come from pip, else from the environment in either case of letters", () => {
  expect(settings({})).toEqual({ httpProxy: "", httpsProxy: "", noProxy: "" });
  expect(settings({ HTTPS_PROXY: "http://a:1", http_proxy: "b:2", NO_PROXY: "c" })).toEqual({
    httpProxy: "http://b:2",
    httpsProxy: "http://a:1",
    noProxy: "c",
  });
  expect(settings({ ALL_PROXY: "http://a:1" }).httpsProxy).toBe("http://a:1");
  expect(settings({ PIP_PROXY: "http://p:3", https_proxy: "http://a:1", no_proxy: "c" })).toEqual({
    httpProxy: "http://p:3",
    httpsProxy: "http://p:3",
    noProxy: "",
  });
});

test("a kind of proxy that is not supported is refused, without its password", () => {
  expect(() => settings({ all_proxy: "socks5://u:secret@a:1" })).toThrow(
    expect.objectContaining({
      code: "download_failed",
      message: expect.not.stringContaining("secret"),
    }),
  );
});
