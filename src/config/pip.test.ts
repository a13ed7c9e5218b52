import { describe, expect, test } from "vitest";
import { parsePipSettings, pipConfigPaths, readPipSettings } from "./pip.ts";

const file = (text: string): { path: string; text: string } => ({ path: "pip.conf", text });

describe("files", () => {
  test("the index is PyPI where nothing is said", () => {
    expect(parsePipSettings({}, [])).toEqual({
      indexUrls: ["https://pypi.org/simple"],
      trustedHosts: [],
      findLinks: [],
      noIndex: false,
      certificatePath: null,
      proxy: null,
      proxies: { httpProxy: "", httpsProxy: "", noProxy: "" },
      extraCertificatePath: null,
      timeoutMs: 30_000,
      retries: 5,
    });
  });

  test("are read as pip reads them", () => {
    const text = [
      "# comment",
      "[global]",
      "index-url = https://mirror.example/simple?a=b=c",
      "extra_index_url =",
      "    https://one.example/simple",
      "    ; comment",
      "    https://two.example/simple",
      "Trusted-Host: Mirror.example other.example:8080",
      "timeout = 60",
      "[freeze]",
      "index-url = https://wrong.example",
    ].join("\r\n");
    expect(parsePipSettings({}, [file(text)])).toMatchObject({
      indexUrls: [
        "https://mirror.example/simple?a=b=c",
        "https://one.example/simple",
        "https://two.example/simple",
      ],
      trustedHosts: ["mirror.example", "other.example:8080"],
      timeoutMs: 60_000,
    });
  });

  test("later files and [install] overrule, key by key", () => {
    const settings = parsePipSettings({}, [
      file(
        "[global]\nindex-url = https://a.example\ncert = /a.pem\n[install]\nindex-url = https://b.example",
      ),
      file("[global]\ncert = /b.pem\nproxy = proxy.example:3128\nno-index = true"),
    ]);
    expect(settings).toMatchObject({
      indexUrls: ["https://b.example"],
      certificatePath: "/b.pem",
      proxy: "proxy.example:3128",
      noIndex: true,
    });
  });
});

describe("precedence", () => {
  test("[install] of a weaker file overrules [global] of a stronger one", () => {
    const settings = parsePipSettings({}, [
      file("[install]\nindex-url = https://install.example"),
      file("[global]\nindex-url = https://global.example\nretries = 9"),
    ]);
    expect(settings).toMatchObject({ indexUrls: ["https://install.example"], retries: 9 });
  });

  test("what is empty says nothing", () => {
    const settings = parsePipSettings({ PIP_INDEX_URL: " " }, [
      file("[global]\nindex-url = https://global.example\n[install]\nindex-url ="),
    ]);
    expect(settings.indexUrls).toEqual(["https://global.example"]);
  });
});

test("files that are missing or unreadable are passed over", () => {
  const settings = readPipSettings({
    env: { NODE_EXTRA_CA_CERTS: "/extra.pem" },
    platform: "linux",
    homeDir: "/home/u",
    readFile: (path) => {
      if (path === "/etc/pip.conf") throw new Error("EACCES");
      return path === "/home/u/.config/pip/pip.conf" ? "[global]\nretries = 2" : null;
    },
  });
  expect(settings).toMatchObject({ retries: 2, extraCertificatePath: "/extra.pem" });
});

test("proxies come from pip, else from the environment in either case of letters", () => {
  const proxies = (env: Readonly<Record<string, string>>) => parsePipSettings(env, []).proxies;
  expect(proxies({ HTTPS_PROXY: "http://a:1", http_proxy: "b:2", NO_PROXY: "c" })).toEqual({
    httpProxy: "b:2",
    httpsProxy: "http://a:1",
    noProxy: "c",
  });
  expect(proxies({ ALL_PROXY: "http://a:1" }).httpsProxy).toBe("http://a:1");
  expect(proxies({ PIP_PROXY: "http://p:3", https_proxy: "http://a:1", no_proxy: "c" })).toEqual({
    httpProxy: "http://p:3",
    httpsProxy: "http://p:3",
    noProxy: "",
  });
});

describe("the environment", () => {
  test("is stronger than files", () => {
    const env = {
      PIP_INDEX_URL: "https://env.example/simple",
      PIP_EXTRA_INDEX_URL: "https://x.example https://y.example",
      PIP_RETRIES: "2",
      PIP_DEFAULT_TIMEOUT: "180",
      PIP_FIND_LINKS: "/wheels",
      SSL_CERT_FILE: "/ssl.pem",
      PIP_CERT: "",
    };
    expect(parsePipSettings(env, [file("[global]\nindex-url = https://file.example")])).toMatchObject({
      indexUrls: ["https://env.example/simple", "https://x.example", "https://y.example"],
      retries: 2,
      timeoutMs: 180_000,
      findLinks: ["/wheels"],
      certificatePath: "/ssl.pem",
    });
  });

  test("with nonsense numbers leaves the defaults", () => {
    const settings = parsePipSettings({ PIP_RETRIES: "many", PIP_TIMEOUT: "-1" }, []);
    expect(settings).toMatchObject({ retries: 5, timeoutMs: 30_000 });
  });
});

describe("places of files", () => {
  test("on Linux: global, user, site", () => {
    expect(pipConfigPaths({ VIRTUAL_ENV: "/venv" }, "linux", "/home/u")).toEqual([
      "/etc/xdg/pip/pip.conf",
      "/etc/pip.conf",
      "/home/u/.pip/pip.conf",
      "/home/u/.config/pip/pip.conf",
      "/venv/pip.conf",
    ]);
  });

  test("PIP_CONFIG_FILE replaces the user's, and /dev/null all", () => {
    expect(pipConfigPaths({ PIP_CONFIG_FILE: "/my.conf" }, "linux", "/home/u")).toEqual([
      "/etc/xdg/pip/pip.conf",
      "/etc/pip.conf",
      "/my.conf",
    ]);
    expect(pipConfigPaths({ PIP_CONFIG_FILE: "/dev/null" }, "linux", "/home/u")).toEqual([]);
  });
});
