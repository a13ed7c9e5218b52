/** Checks bodies against schemas; errors name the field and the value. */
import type { z } from "zod";
import { InkstoneError } from "../errors.ts";

type Issue = z.core.$ZodIssue;

const maxShownLength = 60;

/** The body as the schema's output. Throws `invalid_request` with the path of the first wrong field as `param`. */
export function validate<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const result = schema.safeParse(body, { reportInput: true });
  if (result.success) return result.data;
  const issue = mostSpecific(result.error.issues);
  const path = formatPath(issue.path);
  if (path === "") {
    throw new InkstoneError("invalid_request", `the body ${describe(issue)}, but it is ${show(body)}`);
  }
  const value = valueAt(body, issue.path);
  const message =
    value === undefined
      ? `${path} is missing: it ${describe(issue)}`
      : `${path} ${describe(issue)}, but it is ${show(value)}`;
  throw new InkstoneError("invalid_request", message, { param: path });
}

/** The path in OpenAI's notation, such as `messages[0].content`. */
export function formatPath(path: readonly PropertyKey[]): string {
  let text = "";
  for (const key of path) {
    if (typeof key === "number") text += `[${key}]`;
    else text += text === "" ? String(key) : `.${String(key)}`;
  }
  return text;
}

/** Of a union's alternatives, the one that the value came closest to: whose first error comes last in the value. */
function mostSpecific(issues: readonly Issue[]): Issue {
  const issue = issues[0] as Issue;
  if (issue.code !== "invalid_union") return issue;
  let best: Issue | null = null;
  for (const branch of issue.errors) {
    if (branch.length === 0) continue;
    const inner = mostSpecific(branch);
    const isOfOtherType = inner.path.length === 0 && inner.code === "invalid_type";
    if (!isOfOtherType && (best === null || isFurther(inner.path, best.path))) best = inner;
  }
  return best === null ? issue : { ...best, path: [...issue.path, ...best.path] };
}

function isFurther(path: readonly PropertyKey[], other: readonly PropertyKey[]): boolean {
  for (const [index, key] of path.entries()) {
    const otherKey = other[index];
    if (otherKey === undefined) return true;
    if (typeof key === "number" && typeof otherKey === "number" && key !== otherKey) return key > otherKey;
  }
  return false;
}

function describe(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${typeName(issue.expected)}`;
    case "too_small":
      return `must ${sizeWord(issue.origin)} ${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}${sizeUnit(issue.origin)}`;
    case "too_big":
      return `must ${sizeWord(issue.origin)} ${issue.inclusive === false ? "less than" : "at most"} ${issue.maximum}${sizeUnit(issue.origin)}`;
    case "invalid_value":
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}`;
    case "invalid_union":
      return `must be ${unionTypes(issue).join(" or ")}`;
    case "invalid_key":
      return "has a key of the wrong form";
    default:
      return issue.message;
  }
}

function unionTypes(issue: Extract<Issue, { code: "invalid_union" }>): string[] {
  const names = issue.errors.flatMap((branch) =>
    branch.map((inner) => (inner.code === "invalid_type" ? typeName(inner.expected) : describe(inner))),
  );
  return [...new Set(names)].filter((name) => name !== "null");
}

const typeNames: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "an integer",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

function typeName(expected: string): string {
  return typeNames[expected] ?? expected;
}

function sizeWord(origin: string): string {
  return origin === "string" || origin === "array" || origin === "record" ? "have" : "be";
}

function sizeUnit(origin: string): string {
  if (origin === "string") return " characters";
  return origin === "array" || origin === "record" ? " entries" : "";
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/** A value for an error message: short, and never a whole document. */
function show(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > maxShownLength
    ? `${text.slice(0, maxShownLength)}… (${text.length} characters)`
    : text;
}
