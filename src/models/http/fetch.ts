/** A fetch that goes through the proxies and trusts the certificates that pip and the environment name. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Dispatcher } from "undici";
import { InkstoneError } from "../../errors.ts";
import type { Environment, PipSettings } from "../sources/pip-settings.ts";
import { toUrl } from "./client.ts";
import type { HttpFetch } from "./client.ts";

const connectTimeoutMs = 15_000;

/** Addresses of proxies; "" where there is none. */
export interface ProxySettings {
  readonly httpProxy: string;
  readonly httpsProxy: string;
  /** Hosts that are reached without one, separated by commas. */
  readonly noProxy: string;
}

/** pip's own proxy, else the environment's, in either case of letters. Throws `download_failed` for SOCKS. */
export function toProxySettings(settings: PipSettings, env: Environment): ProxySettings {
  const variable = (name: string): string => env[name] || env[name.toUpperCase()] || "";
  const fallback = variable("all_proxy");
  const normalise = (proxy: string): string => {
    if (proxy === "") return "";
    const url = proxy.includes("://") ? proxy : `http://${proxy}`;
    const protocol = toUrl(url)?.protocol;
    if (protocol !== "http:" && protocol !== "https:") {
      throw new InkstoneError(
        "download_failed",
        `A proxy of the kind "${protocol ?? "unknown"}" is set; only http:// and https:// proxies are supported.`,
      );
    }
    return url;
  };
  const { proxy } = settings;
  return {
    httpProxy: normalise(proxy ?? (variable("http_proxy") || fallback)),
    httpsProxy: normalise(proxy ?? (variable("https_proxy") || fallback)),
    noProxy: proxy === null ? variable("no_proxy") : "",
  };
}

/** The fetch; the HTTP library is loaded at its first use. */
export function createPipFetch(settings: PipSettings, env: Environment): HttpFetch {
  let loaded: Promise<HttpFetch> | undefined;
  return async (url, init) => {
    loaded ??= load(settings, env);
    const fetch = await loaded;
    return await fetch(url, init);
  };
}

async function load(settings: PipSettings, env: Environment): Promise<HttpFetch> {
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const proxies = toProxySettings(settings, env);
  const ca = readAuthorities(settings.certificatePath, env["NODE_EXTRA_CA_CERTS"] || null);
  const createAgent = (tls: { ca?: string[]; rejectUnauthorized?: boolean }): Dispatcher =>
    new EnvHttpProxyAgent({
      ...proxies,
      connect: { ...tls, timeout: connectTimeoutMs },
      requestTls: tls,
      proxyTls: tls,
      // Proxies often refuse CONNECT to plain HTTP servers.
      proxyTunnel: false,
      headersTimeout: settings.timeoutMs,
      bodyTimeout: settings.timeoutMs,
    });
  const strict = createAgent(ca === null ? {} : { ca });
  let lax: Dispatcher | undefined;
  return async (url, init) => {
    const { host, hostname } = new URL(url);
    const isTrusted = settings.trustedHosts.includes(host) || settings.trustedHosts.includes(hostname);
    if (isTrusted) lax ??= createAgent({ rejectUnauthorized: false });
    return await fetch(url, { ...init, dispatcher: (isTrusted ? lax : undefined) ?? strict });
  };
}

/** Certificates in PEM to trust instead of the built-in ones; null to trust those. */
function readAuthorities(path: string | null, extraPath: string | null): string[] | null {
  if (path === null) return null;
  const own = readPem(path);
  if (extraPath === null || extraPath === path) return own;
  try {
    return [...own, ...readPem(extraPath)];
  } catch {
    // Node itself only warns about this one.
    return own;
  }
}

function readPem(path: string): string[] {
  try {
    const files = statSync(path).isDirectory()
      ? readdirSync(path)
          .filter((name) => /\.(?:pem|crt|cer|\d+)$/.test(name))
          .map((name) => join(path, name))
      : [path];
    return [...new Set(files.map((file) => readFileSync(file, "utf8")))];
  } catch (error) {
    throw new InkstoneError(
      "download_failed",
      `The certificates that pip is configured with cannot be read: ${(error as Error).message}.`,
      { cause: error },
    );
  }
}
