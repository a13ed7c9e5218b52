import { describe, expect, test } from "vitest";

import { InkstoneError } from "../errors.ts";
import { loadConfig } from "./load.ts";
import type { ConfigInputs } from "./load.ts";
import { describeOrigin } from "./origin.ts";
import { configKeys, settingDoc } from "./schema.ts";
import { environmentName, settingFileKeys, settingFlags } from "./setting-names.ts";
import { readValue } from "./value.ts";

interface Given extends Partial<Omit<ConfigInputs, "readFile">> {
  files?: Record<string, string>;
}

function load({ files = {}, ...given }: Given = {}) {
  return loadConfig({
    flags: {},
    env: {},
    cwd: "/here",
    homeDir: "/home/ada",
    platform: "linux",
    readFile: (path) => files[path] ?? null,
    ...given,
  });
}

function failure(given: Given): InkstoneError {
  try {
    load(given);
  } catch (error) {
    if (error instanceof InkstoneError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("layers", () => {
  test("without anything, every value is a default", () => {
    const { config, origins, warnings, file } = load();
    expect(config).toMatchObject({ model: null, host: "127.0.0.1", port: 8080, maxNumSeqs: 32, mmap: true });
    expect(config.cacheDir).toBe("/home/ada/.cache/inkstone");
    expect(new Set(Object.values(origins).map((origin) => origin.kind))).toEqual(new Set(["default"]));
    expect(warnings).toEqual([]);
    expect(file).toBeNull();
  });

  test("file, environment and flags overrule each other in this order", () => {
    const files = { "/here/inkstone.yaml": "# mine\nport: 1\nthreads: 2\nmax_queue: 3\n" };
    const { config, origins } = load({
      files,
      env: { INKSTONE_PORT: "11", INKSTONE_THREADS: "12" },
      flags: { "--port": "21" },
    });
    expect([config.port, config.threads, config.maxQueue]).toEqual([21, 12, 3]);
    expect(describeOrigin(origins.port)).toBe("--port");
    expect(describeOrigin(origins.threads)).toBe("INKSTONE_THREADS");
    expect(describeOrigin(origins.maxQueue)).toBe("/here/inkstone.yaml:4");
  });

  test("the result is frozen, lists too", () => {
    const { config } = load({ flags: { "--cors-origins": ["https://a.example", "https://b.example"] } });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.corsOrigins)).toBe(true);
    expect(config.corsOrigins).toEqual(["https://a.example", "https://b.example"]);
  });

  test("the model's argument overrules file and environment, and may not contradict --model", () => {
    const { config, origins } = load({ modelArgument: "a", env: { INKSTONE_MODEL: "b" } });
    expect(config.model).toBe("a");
    expect(origins.model).toEqual({ kind: "argument" });
    expect(load({ modelArgument: "a", flags: { "--model": "a" } }).config.model).toBe("a");
    expect(failure({ modelArgument: "a", flags: { "-m": "b" } }).message).toContain("two models are named");
  });
});

describe("the file", () => {
  const text = "port: 9000";

  test.each<[string, Given, string | null]>([
    [
      "--config first",
      { flags: { "--config": "f.yaml" }, env: { INKSTONE_CONFIG: "/e.yaml" } },
      "/here/f.yaml",
    ],
    ["then INKSTONE_CONFIG", { env: { INKSTONE_CONFIG: "~/e.yaml" } }, "/home/ada/e.yaml"],
    ["then inkstone.yaml here", {}, "/here/inkstone.yaml"],
  ])("%s", (_name, given, expected) => {
    const files = { "/here/f.yaml": text, "/home/ada/e.yaml": text, "/here/inkstone.yaml": text };
    const loaded = load({ ...given, files });
    expect(loaded.file).toBe(expected);
    expect(loaded.config.port).toBe(9000);
  });

  test("then the user's, under XDG_CONFIG_HOME where it is set", () => {
    expect(load({ files: { "/home/ada/.config/inkstone/config.yaml": text } }).config.port).toBe(9000);
    const env = { XDG_CONFIG_HOME: "/xdg" };
    expect(load({ env, files: { "/xdg/inkstone/config.yaml": text } }).config.port).toBe(9000);
  });

  test("a named file that is missing is an error", () => {
    const error = failure({ flags: { "--config": "nowhere.yaml" } });
    expect(error.code).toBe("invalid_config");
    expect(error.message).toContain("/here/nowhere.yaml");
    expect(error.message).toContain("--config");
  });

  test("a file that cannot be read is an error with the reason", () => {
    const readFile = (): string => {
      throw new Error("EACCES: permission denied");
    };
    expect(() =>
      loadConfig({ flags: {}, env: {}, cwd: "/", homeDir: "/", platform: "linux", readFile }),
    ).toThrow(/cannot read .*EACCES/);
  });

  test.each([
    [
      "unknown key",
      "contxt_window: 1",
      /inkstone\.yaml:1: unknown key contxt_window; did you mean context_window\?/,
    ],
    ["kebab key", "context-window: 1", /unknown key context-window; did you mean context_window\?/],
    ["alias with a typing error", "max_model_lenn: 1", /did you mean max_model_len\?/],
    ["line of the mistake", "port: 1\n\nhots: a", /inkstone\.yaml:3: unknown key hots; did you mean host\?/],
    ["broken YAML", "port: [1", /inkstone\.yaml:1: not valid YAML/],
    ["the same key twice", "port: 1\nport: 2", /not valid YAML: Map keys must be unique/],
    ["no map", "- port", /expected settings/],
    ["wrong type", "port: eighty", /inkstone\.yaml:1: port: invalid value "eighty"; allowed: a whole number/],
    ["no value", "port:", /port: invalid value null/],
    ["a number for text", "host: 8", /host: invalid value 8; allowed: an IP address/],
    ["a fraction", "max_num_seqs: 1.5", /max_num_seqs: invalid value 1.5/],
    ["nested", "server:\n  port: 1", /unknown key server/],
    [
      "two names of one setting",
      "context_window: 1\nctx_size: 2",
      /are the same setting with different values/,
    ],
  ])("%s", (_name, yaml, message) => {
    const error = failure({ files: { "/here/inkstone.yaml": yaml } });
    expect(error.code).toBe("invalid_config");
    expect(error.message).toMatch(message);
  });

  test("an empty file, or one of comments, is fine", () => {
    expect(load({ files: { "/here/inkstone.yaml": "" } }).config.port).toBe(8080);
    expect(load({ files: { "/here/inkstone.yaml": "# nothing\n" } }).config.port).toBe(8080);
  });

  test("all mistakes are told at once", () => {
    const error = failure({
      files: { "/here/inkstone.yaml": "prot: 1" },
      env: { INKSTONE_THREADS: "many" },
      flags: { "--port": "70000" },
    });
    expect(error.message.split("\n")).toHaveLength(3);
    expect(error.message).toContain(
      'INKSTONE_THREADS: invalid value "many"; allowed: a whole number, at least 1',
    );
    expect(error.message).toContain('--port: invalid value "70000"; allowed: a whole number from 0 to 65535');
    expect(error.param).toBe("threads");
  });

  test("the names that articles use are read", () => {
    const yaml = "context_window: 2048\nbatch_size: 8\nmax_wait_ms: 50\ndynamic_padding: true\n";
    const { config, warnings } = load({ files: { "/here/inkstone.yaml": yaml } });
    expect(config).toMatchObject({ contextWindow: 2048, maxNumSeqs: 8, maxWaitMs: 50, dynamicPadding: true });
    expect(warnings).toEqual([]);
  });

  test("dynamic_padding: false is told to have no effect", () => {
    const { warnings } = load({ files: { "/here/inkstone.yaml": "dynamic_padding: false" } });
    expect(warnings).toEqual([expect.stringContaining("nothing is padded")]);
    expect(warnings[0]).toContain("/here/inkstone.yaml:1");
  });

  test("its paths start at its folder, those of flags at the working directory", () => {
    const yaml = "api_key_file: keys\nmodel: ./m.gguf\ncache_dir: ~/models\n";
    const { config } = load({
      flags: { "--config": "/etc/inkstone/c.yaml", "--native-directory": "lib" },
      files: { "/etc/inkstone/c.yaml": yaml },
    });
    expect(config).toMatchObject({
      apiKeyFile: "/etc/inkstone/keys",
      model: "/etc/inkstone/m.gguf",
      cacheDir: "/home/ada/models",
      nativeDirectory: "/here/lib",
    });
  });

  const guarded: [string, string][] = [
    ["native_directory", "./lib"],
    ["cache_dir", "./cache"],
    ["host", "0.0.0.0"],
    ["api_key_file", "./keys"],
    ["insecure", "true"],
  ];

  test.each(guarded)(
    "%s is refused from a file that was only found in the working directory",
    (key, value) => {
      const yaml = `port: 1\n${key}: ${value}\n`;
      const error = failure({ files: { "/here/inkstone.yaml": yaml } });
      expect(error.code).toBe("invalid_config");
      expect(error.message).toContain(
        `/here/inkstone.yaml:2: ${key} is not taken from a file that was only found`,
      );
    },
  );

  test.each(guarded)("%s is taken from a file that was named, and from the user's own", (key, value) => {
    const yaml = `${key}: ${value}`;
    const own = "/home/ada/.config/inkstone/config.yaml";
    const ways: Given[] = [
      { files: { "/here/inkstone.yaml": yaml }, flags: { "--config": "inkstone.yaml" } },
      { files: { "/here/inkstone.yaml": yaml }, env: { INKSTONE_CONFIG: "inkstone.yaml" } },
      { files: { [own]: yaml } },
    ];
    for (const given of ways) {
      const { origins } = load(given);
      expect(Object.values(origins).filter(({ kind }) => kind === "file")).toHaveLength(1);
    }
  });

  test("a model's name is no path", () => {
    expect(load({ files: { "/here/inkstone.yaml": "model: smollm2-135m" } }).config.model).toBe(
      "smollm2-135m",
    );
  });
});

describe("the environment", () => {
  test("unknown variables are errors with the nearest name", () => {
    expect(failure({ env: { INKSTONE_PROT: "1" } }).message).toBe(
      "unknown environment variable INKSTONE_PROT; did you mean INKSTONE_PORT?",
    );
    expect(failure({ env: { INKSTONE_MAX_MODEL_LEN: "1" } }).message).toContain("INKSTONE_CONTEXT_WINDOW");
  });

  test("empty variables, those of others, and Kubernetes' service links are left alone", () => {
    const { config } = load({
      env: {
        INKSTONE_PORT: "tcp://10.0.0.1:8080",
        INKSTONE_PORT_8080_TCP: "tcp://10.0.0.1:8080",
        INKSTONE_PORT_8080_TCP_ADDR: "10.0.0.1",
        INKSTONE_SERVICE_HOST: "10.0.0.1",
        INKSTONE_SERVICE_PORT: "8080",
        INKSTONE_SERVICE_PORT_HTTP: "8080",
        INKSTONE_API_PORT: "tcp://10.0.0.2:80",
        INKSTONE_HOST: "",
        INKSTONE_DEBUG: "1",
        PIP_INDEX_URL: "https://pypi.example/simple",
      },
    });
    expect(config.port).toBe(8080);
    expect(config.host).toBe("127.0.0.1");
  });

  test.each<[NodeJS.Platform, Record<string, string>, string]>([
    ["linux", {}, "/home/ada/.cache/inkstone"],
    ["linux", { XDG_CACHE_HOME: "/xdg" }, "/xdg/inkstone"],
    ["darwin", {}, "/home/ada/Library/Caches/inkstone"],
    ["linux", { INKSTONE_CACHE_DIR: "/data" }, "/data"],
  ])("the cache directory on %s with %j", (platform, env, expected) => {
    expect(load({ platform, env }).config.cacheDir).toBe(expected);
  });

  test("the cache directory on Windows", () => {
    const env = { LOCALAPPDATA: "C:\\Users\\ada\\AppData\\Local" };
    const { config } = load({ platform: "win32", env, cwd: "C:\\", homeDir: "C:\\Users\\ada" });
    expect(config.cacheDir).toBe("C:\\Users\\ada\\AppData\\Local\\inkstone\\cache");
  });
});

describe("flags", () => {
  test.each<[string, string, string, unknown]>([
    ["--max-model-len", "4096", "contextWindow", 4096],
    ["--ctx-size", "0", "contextWindow", 0],
    ["-c", "auto", "contextWindow", null],
    ["-ngl", "99", "gpuLayers", 99],
    ["--n-gpu-layers", "-1", "gpuLayers", -1],
    ["--max-body-bytes", "16MiB", "maxBodyBytes", 16 * 1024 * 1024],
    ["--max-body-bytes", "2 MB", "maxBodyBytes", 2_000_000],
    ["--tensor-split", "3, 1.5", "tensorSplit", [3, 1.5]],
    ["--served-model-name", "a,b", "servedModelName", ["a", "b"]],
    ["--flash-attn", "off", "flashAttn", "off"],
  ])("%s %s", (flag, text, key, expected) => {
    const { config } = load({ flags: { [flag]: text } });
    expect(config[key as keyof typeof config]).toEqual(expected);
  });

  test("--no-mmap is a false that is shown as it was written", () => {
    const { config, origins } = load({ flags: { "--mmap": false } });
    expect(config.mmap).toBe(false);
    expect(describeOrigin(origins.mmap)).toBe("--no-mmap");
  });

  test.each([
    ["--port", "1e3"],
    ["--port", "-1"],
    ["--max-num-seqs", "0"],
    ["--max-num-seqs", "256"],
    ["--kv-layout", "paged"],
    ["--cache-type-k", "int8"],
    ["--tensor-split", "3,x"],
    ["--max-body-bytes", "16 PiB"],
    ["--host", " "],
  ])("%s %s is refused with what is allowed", (flag, text) => {
    const error = failure({ flags: { [flag]: text } });
    expect(error.message).toContain(`${flag}: invalid value`);
    expect(error.message).toContain("allowed: ");
  });

  test("an unknown one is refused", () => {
    expect(failure({ flags: { "--prot": "1" } }).message).toBe("unknown option --prot; did you mean --port?");
  });
});

describe("the schema", () => {
  test("no two settings share a key, flag or variable", () => {
    for (const namesOf of [
      settingFileKeys,
      settingFlags,
      (key: (typeof configKeys)[number]) => [environmentName(key)],
    ]) {
      const names = configKeys.flatMap((key) => namesOf(key));
      expect(names).toHaveLength(new Set(names).size);
    }
  });

  test.each(configKeys)("%s is described, and refuses a map", (key) => {
    const { doc, allowed } = settingDoc(key);
    expect(doc).toMatch(/\.$/);
    expect(readValue(key, { a: 1 })).toEqual({ ok: false, allowed });
  });
});
