/** The settings of pip that say where packages come from, read as pip reads them. */
import { join } from "node:path";

import type { Environment } from "./layers.ts";
import type { ConfigInputs } from "./load.ts";

/** A configuration file that exists. */
export interface PipFile {
  readonly path: string;
  readonly text: string;
}

/** Addresses of proxies as they were written, with or without `http://`; "" where there is none. May hold credentials. */
export interface ProxyAddresses {
  readonly httpProxy: string;
  readonly httpsProxy: string;
  /** Hosts that are reached without one, separated by commas. */
  readonly noProxy: string;
}

/** What of pip's settings matters here. */
export interface PipSettings {
  /** Indexes in the order in which they are asked. May hold credentials: never print one. */
  readonly indexUrls: readonly string[];
  /** `host` or `host:port` whose certificate is not checked, and which may be plain HTTP. */
  readonly trustedHosts: readonly string[];
  /** Directories and pages with wheels that are looked at before any index. */
  readonly findLinks: readonly string[];
  readonly noIndex: boolean;
  /** Certificate authorities to trust instead of the built-in ones: a PEM file or a directory of them. */
  readonly certificatePath: string | null;
  /** pip's own proxy, as it was written. */
  readonly proxy: string | null;
  /** What is gone through: pip's own proxy, else the environment's. */
  readonly proxies: ProxyAddresses;
  /** Certificate authorities that Node trusts beside the built-in ones: a PEM file. */
  readonly extraCertificatePath: string | null;
  readonly timeoutMs: number;
  readonly retries: number;
}

const defaultIndexUrl = "https://pypi.org/simple";
const defaultTimeoutMs = 30_000;
const defaultRetries = 5;

/** Files that pip would read, the weakest first. */
export function pipConfigPaths(env: Environment, platform: NodeJS.Platform, home: string): string[] {
  const explicit = env["PIP_CONFIG_FILE"];
  if (explicit === "/dev/null" || explicit?.toLowerCase() === "nul") return [];
  const file = platform === "win32" ? "pip.ini" : "pip.conf";
  const legacyUser = join(home, platform === "win32" ? "pip" : ".pip", file);
  const system: string[] = [];
  const user: string[] = [];
  if (platform === "win32") {
    if (env["PROGRAMDATA"]) system.push(join(env["PROGRAMDATA"], "pip", file));
    user.push(legacyUser);
    if (env["APPDATA"]) user.push(join(env["APPDATA"], "pip", file));
  } else {
    const configHome = env["XDG_CONFIG_HOME"] || join(home, ".config");
    if (platform === "darwin") system.push("/Library/Application Support/pip/pip.conf");
    const directories = (env["XDG_CONFIG_DIRS"] || "/etc/xdg").split(":").filter((entry) => entry !== "");
    system.push(...directories.map((entry) => join(entry, "pip", file)), "/etc/pip.conf");
    user.push(legacyUser, join(configHome, "pip", file));
    if (platform === "darwin") user.push(join(home, "Library/Application Support/pip/pip.conf"));
  }
  const site = env["VIRTUAL_ENV"] || env["CONDA_PREFIX"];
  return [
    ...system,
    ...(explicit === undefined ? user : []),
    ...(site ? [join(site, file)] : []),
    ...(explicit === undefined ? [] : [explicit]),
  ];
}

/** The settings that environment and files make together; the environment is strongest, then the last file. */
export function parsePipSettings(env: Environment, files: readonly PipFile[]): PipSettings {
  // As in pip, all files are merged section by section, and then [install] overrules [global].
  const sections = { global: new Map<string, string>(), install: new Map<string, string>() };
  for (const { text } of files) {
    const parsed = parseIni(text);
    for (const [key, value] of parsed.get("global") ?? []) sections.global.set(key, value);
    for (const [key, value] of parsed.get("install") ?? []) sections.install.set(key, value);
  }
  const setting = (key: string): string | undefined => {
    const variable = env[`PIP_${key.toUpperCase().replaceAll("-", "_")}`]?.trim();
    const value = variable || sections.install.get(key)?.trim() || sections.global.get(key)?.trim();
    return value === "" ? undefined : value;
  };
  const list = (key: string): string[] => (setting(key) ?? "").split(/\s+/).filter((entry) => entry !== "");
  const number = (key: string): number | undefined => {
    const value = Number(setting(key));
    return setting(key) !== undefined && Number.isFinite(value) && value >= 0 ? value : undefined;
  };
  const timeoutS = number("timeout") ?? number("default-timeout");
  return {
    indexUrls: [...new Set([setting("index-url") ?? defaultIndexUrl, ...list("extra-index-url")])],
    trustedHosts: list("trusted-host").map((host) => host.toLowerCase()),
    findLinks: list("find-links"),
    noIndex: /^(?:1|y|yes|t|true|on)$/i.test(setting("no-index") ?? ""),
    certificatePath:
      setting("cert") || env["REQUESTS_CA_BUNDLE"] || env["CURL_CA_BUNDLE"] || env["SSL_CERT_FILE"] || null,
    proxy: setting("proxy") ?? null,
    proxies: proxiesOf(setting("proxy") ?? null, env),
    extraCertificatePath: env["NODE_EXTRA_CA_CERTS"] || null,
    timeoutMs: timeoutS === undefined || timeoutS === 0 ? defaultTimeoutMs : timeoutS * 1000,
    retries: Math.floor(number("retries") ?? defaultRetries),
  };
}

function proxiesOf(proxy: string | null, env: Environment): ProxyAddresses {
  if (proxy !== null) return { httpProxy: proxy, httpsProxy: proxy, noProxy: "" };
  const variable = (name: string): string => env[name] || env[name.toUpperCase()] || "";
  return {
    httpProxy: variable("http_proxy") || variable("all_proxy"),
    httpsProxy: variable("https_proxy") || variable("all_proxy"),
    noProxy: variable("no_proxy"),
  };
}

/** Reads pip's settings from the environment and its configuration files of this machine and user. */
export function readPipSettings(
  inputs: Pick<ConfigInputs, "env" | "readFile" | "homeDir" | "platform">,
): PipSettings {
  const { env, platform, homeDir } = inputs;
  const files = pipConfigPaths(env, platform, homeDir).flatMap((path): PipFile[] => {
    try {
      const text = inputs.readFile(path);
      return text === null ? [] : [{ path, text }];
    } catch {
      // pip, too, passes over files that are not readable.
      return [];
    }
  });
  return parsePipSettings(env, files);
}

/** Sections and their keys, as Python's RawConfigParser reads them: indented lines continue a value. */
function parseIni(text: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section: Map<string, string> | undefined;
  let key: string | undefined;
  for (const line of text.replace(/^\uFEFF/, "").split(/\r?\n/)) {
    if (/^\s*(?:[#;].*)?$/.test(line)) continue;
    const continued = /^\s+(.*)$/.exec(line);
    if (continued !== null && section !== undefined && key !== undefined) {
      section.set(key, `${section.get(key) ?? ""}\n${(continued[1] ?? "").trim()}`);
      continue;
    }
    const header = /^\s*\[([^\]]+)\]/.exec(line);
    if (header !== null) {
      const name = (header[1] ?? "").trim();
      section = sections.get(name) ?? new Map<string, string>();
      sections.set(name, section);
      key = undefined;
      continue;
    }
    const pair = /^\s*([^=:]+?)\s*[=:]\s*(.*)$/.exec(line);
    if (pair === null || section === undefined) continue;
    key = (pair[1] ?? "").toLowerCase().replaceAll("_", "-");
    section.set(key, (pair[2] ?? "").trim());
  }
  return sections;
}
