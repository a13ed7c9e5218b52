import { expect, test } from "vitest";
import { toProxyUrls } from "./fetch.ts";

test("proxies become URLs", () => {
  const none = { httpProxy: "", httpsProxy: "", noProxy: "" };
  expect(toProxyUrls(none)).toEqual(none);
  expect(toProxyUrls({ httpProxy: "b:2", httpsProxy: "https://a:1", noProxy: "c" })).toEqual({
    httpProxy: "http://b:2",
    httpsProxy: "https://a:1",
    noProxy: "c",
  });
});

test("a kind of proxy that is not supported is refused, without its password", () => {
  expect(() => toProxyUrls({ httpProxy: "", httpsProxy: "socks5://u:secret@a:1", noProxy: "" })).toThrow(
    expect.objectContaining({
      code: "download_failed",
      message: expect.not.stringContaining("secret"),
    }),
  );
});
