/** Manifests: which files a model consists of. One JSON file for each name. */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const digestPattern = /^sha256:[0-9a-f]{64}$/;

const manifestSchema = z.object({
  manifestVersion: z.literal(1),
  name: z.string().min(1),
  /** How to fetch it again. */
  reference: z.string(),
  /** What exactly was fetched, such as the digests of wheels; tells whether a newer one exists. */
  origin: z.string(),
  storedAtMs: z.number(),
  files: z
    .array(
      z.object({
        /** Name at its source, for people. */
        name: z.string(),
        digest: z.string().regex(digestPattern),
        sizeBytes: z.number(),
        modifiedAtMs: z.number(),
      }),
    )
    .min(1),
});

/** A stored model. */
export type Manifest = Readonly<z.infer<typeof manifestSchema>>;

/** A file of a stored model. */
export type StoredFile = Manifest["files"][number];

/** Where the manifest of `name` is; a name may hold any character. */
export function manifestPath(directory: string, name: string): string {
  const encoded = encodeURIComponent(name).replaceAll("*", "%2A");
  const short =
    encoded.length <= 180
      ? encoded
      : `${encoded.slice(0, 140)}-${createHash("sha256").update(name).digest("hex").slice(0, 32)}`;
  return join(directory, `${short}.json`);
}

/** All manifests in a directory, by name; a damaged one counts as absent. */
export function readManifests(directory: string): Manifest[] {
  let entries: string[];
  try {
    entries = readdirSync(directory);
  } catch {
    return [];
  }
  return entries
    .filter((entry) => entry.endsWith(".json"))
    .flatMap((entry) => {
      const manifest = readManifest(join(directory, entry));
      return manifest === null ? [] : [manifest];
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** One digest for a model: that of its file, or of its files' digests in order. */
export function manifestDigest(manifest: Manifest): string {
  const [first] = manifest.files;
  if (manifest.files.length === 1 && first !== undefined) return first.digest;
  const digests = manifest.files.map((file) => file.digest).join("\n");
  return `sha256:${createHash("sha256").update(digests).digest("hex")}`;
}

function readManifest(path: string): Manifest | null {
  try {
    const parsed = manifestSchema.safeParse(JSON.parse(readFileSync(path, "utf8")));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
