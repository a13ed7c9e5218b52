/** HTTP GET for package indexes: credentials stay with their origin, redirects are followed by hand, faults are sorted. */
import { InkstoneError } from "../../errors.ts";
import { parseRetryAfter, TransientError, throwIfAborted } from "./retry.ts";

/** The part of a fetch response that is used. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
}

/** A fetch that does not follow redirects. */
export type HttpFetch = (
  url: string,
  init: {
    readonly headers: Readonly<Record<string, string>>;
    readonly redirect: "manual";
    readonly signal?: AbortSignal;
  },
) => Promise<HttpResponse>;

/** An answer, and the address that gave it, without credentials. */
export interface HttpAnswer {
  readonly response: HttpResponse;
  readonly url: string;
}

/** GET with headers. */
export interface HttpClient {
  /**
   * Answers of any status below 500 except 401, 403, 407, 408 and 429. Throws TransientError for faults that may pass,
   * `download_failed` for the others.
   */
  get(
    url: string,
    options: { readonly headers: Readonly<Record<string, string>>; readonly signal?: AbortSignal },
  ): Promise<HttpAnswer>;
}

/** What the client is made of. */
export interface HttpClientOptions {
  readonly fetch: HttpFetch;
  /** URLs with `user:password@`: requests to their origin carry it. */
  readonly credentialUrls: readonly string[];
  /** Hosts (`host` or `host:port`) that may be plain HTTP; this machine always may. */
  readonly trustedHosts: readonly string[];
  readonly now: () => number;
}

const maxRedirects = 10;
const certificateFault = /CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|ERR_TLS|ERR_SSL/;

/** A client over a fetch. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { fetch, trustedHosts, now } = options;
  const credentials = new Map<string, string>();
  for (const url of options.credentialUrls) {
    const parsed = toUrl(url);
    const authorization = parsed === null ? null : basicAuthorization(parsed);
    if (parsed !== null && authorization !== null) credentials.set(parsed.origin, authorization);
  }

  const once = async (
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> => {
    requireSecure(url, trustedHosts);
    const authorization = basicAuthorization(url) ?? credentials.get(url.origin);
    const withAuthorization = authorization === undefined ? headers : { ...headers, authorization };
    const bare = withoutCredentials(url);
    try {
      return await fetch(bare, { headers: withAuthorization, redirect: "manual", signal });
    } catch (error) {
      throwIfAborted(signal, bare);
      throw toNetworkFault(error, url.host);
    }
  };

  return {
    get: async (start, { headers, signal }) => {
      let url = parseUrl(start);
      for (let nRedirects = 0; nRedirects <= maxRedirects; nRedirects += 1) {
        const response = await once(url, headers, signal);
        const location = response.headers.get("location");
        if (response.status < 300 || response.status >= 400 || location === null) {
          sortOutFaults(response, url, now());
          return { response, url: withoutCredentials(url) };
        }
        await discard(response);
        const next = parseUrl(location, url.href);
        // What a redirect says of credentials is not trusted, only what the user configured.
        next.username = "";
        next.password = "";
        if (next.origin === url.origin) {
          next.username = url.username;
          next.password = url.password;
        }
        url = next;
      }
      throw new InkstoneError(
        "download_failed",
        `${withoutCredentials(parseUrl(start))} redirects more than ${maxRedirects} times.`,
      );
    },
  };
}

/** A parsed address; null where it cannot be read. */
export function toUrl(text: string, base?: string): URL | null {
  return URL.canParse(text, base) ? new URL(text, base) : null;
}

/** The address as it may be shown: without user, password, and query, which may hold a signature. */
export function toShownUrl(url: string): string {
  const parsed = toUrl(url);
  return parsed === null ? "an invalid address" : `${parsed.origin}${parsed.pathname}`;
}

/** Reads a body as text. Throws TransientError when it is longer than `maxBytes` or breaks off. */
export async function readText(response: HttpResponse, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let nBytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      nBytes += chunk.length;
      if (nBytes > maxBytes) throw new TransientError(`the answer is longer than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof TransientError ? error : toNetworkFault(error, "the server");
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Lets go of a body that nobody reads, so that its connection is free again. */
export async function discard(response: HttpResponse): Promise<void> {
  try {
    await response.body?.[Symbol.asyncIterator]().return?.();
  } catch {
    // The connection is closed instead.
  }
}

/** An error thrown by fetch or while reading a body, as a fault that may pass or, for certificates, an error. */
export function toNetworkFault(error: unknown, host: string): Error {
  if (error instanceof InkstoneError || error instanceof TransientError) return error;
  const cause = rootCause(error);
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  const reason = code === "" || cause.message.includes(code) ? cause.message : `${code} ${cause.message}`;
  if (certificateFault.test(code)) {
    return new InkstoneError(
      "download_failed",
      `The certificate of ${host} is not trusted (${reason}): pip's \`cert\` setting or SSL_CERT_FILE names the authority's file.`,
      { cause: error },
    );
  }
  return new TransientError(`${host}: ${reason === "" ? "the connection failed" : reason}`, { cause: error });
}

function rootCause(error: unknown): Error {
  let current = error instanceof Error ? error : new Error(String(error));
  for (let depth = 0; depth < 5; depth += 1) {
    const next: unknown =
      current instanceof AggregateError ? (current.errors as unknown[])[0] : (current.cause ?? undefined);
    if (!(next instanceof Error)) return current;
    current = next;
  }
  return current;
}

function sortOutFaults(response: HttpResponse, url: URL, nowMs: number): void {
  const { status } = response;
  if (status === 408 || status === 429 || status >= 500) {
    void discard(response);
    const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), nowMs);
    throw new TransientError(`${url.host} answered ${status}`, { retryAfterMs });
  }
  if (status === 401 || status === 403 || status === 407) {
    void discard(response);
    const what =
      status === 407 ? "the proxy wants credentials" : "the index's address needs valid credentials";
    throw new InkstoneError("download_failed", `${toShownUrl(url.href)} answered ${status}: ${what}.`);
  }
}

function requireSecure(url: URL, trustedHosts: readonly string[]): void {
  if (url.protocol === "https:") return;
  const loopback = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  const trusted = trustedHosts.includes(url.hostname) || trustedHosts.includes(url.host);
  if (url.protocol === "http:" && (loopback || trusted)) return;
  throw new InkstoneError(
    "download_failed",
    `${toShownUrl(url.href)} is not HTTPS; pip's \`trusted-host = ${url.hostname}\` allows it.`,
  );
}

function parseUrl(text: string, base?: string): URL {
  const url = toUrl(text, base);
  if (url === null)
    throw new InkstoneError("download_failed", `An address cannot be read: ${toShownUrl(text)}.`);
  return url;
}

function basicAuthorization(url: URL): string | null {
  if (url.username === "" && url.password === "") return null;
  const decode = (text: string): string => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  const pair = `${decode(url.username)}:${decode(url.password)}`;
  return `Basic ${Buffer.from(pair, "utf8").toString("base64")}`;
}

function withoutCredentials(url: URL): string {
  const bare = new URL(url.href);
  bare.username = "";
  bare.password = "";
  bare.hash = "";
  return bare.href;
}
