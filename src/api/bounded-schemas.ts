/**
 * Lists and records that stop at the first bad entry. zod's own collect an issue for every one, so that a body of some
 * megabytes would make gigabytes of issues.
 */
import { z } from "zod";

export interface ListBounds<T> {
  readonly min?: number;
  readonly max?: number;
  /** A cheap test that is true exactly for good entries, which are then taken as they are. */
  readonly isGood?: (value: unknown) => value is T;
}

/** A list of `item`. Its length is checked before its entries. */
export function boundedList<S extends z.ZodType>(item: S, bounds: ListBounds<z.output<S>> = {}) {
  const { min = 0, max = Number.POSITIVE_INFINITY, isGood } = bounds;
  return z
    .unknown()
    .transform((value, context): z.output<S>[] => {
      const issue = findLengthIssue(value, min, max);
      if (issue !== null) {
        context.issues.push(issue);
        return z.NEVER;
      }
      const list: z.output<S>[] = [];
      for (const [index, entry] of (value as unknown[]).entries()) {
        if (isGood?.(entry)) {
          list.push(entry);
          continue;
        }
        const result = item.safeParse(entry, { reportInput: true });
        if (!result.success) {
          pushIssues(context.issues, result.error.issues, index);
          return z.NEVER;
        }
        list.push(result.data);
      }
      return list;
    })
    .meta({
      type: "array",
      items: toItemSchema(item),
      ...(min > 0 && { minItems: min }),
      ...(max !== Number.POSITIVE_INFINITY && { maxItems: max }),
    });
}

export interface RecordBounds {
  readonly max: number;
  readonly key: RegExp;
  /** What a key of another form is told: "has a key that …". */
  readonly keyMessage: string;
}

/** An object with any keys of one form and values of `item`. */
export function boundedRecord<S extends z.ZodType>(item: S, { max, key: form, keyMessage }: RecordBounds) {
  return z
    .unknown()
    .transform((value, context): Record<string, z.output<S>> => {
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        context.issues.push({ code: "invalid_type", expected: "record", input: value });
        return z.NEVER;
      }
      const entries = Object.entries(value);
      if (entries.length > max) {
        context.issues.push({
          code: "too_big",
          origin: "record",
          maximum: max,
          inclusive: true,
          input: value,
        });
        return z.NEVER;
      }
      const record: Record<string, z.output<S>> = {};
      for (const [key, entry] of entries) {
        if (!form.test(key)) {
          context.issues.push({ code: "custom", message: keyMessage, path: [key], input: entry });
          return z.NEVER;
        }
        const result = item.safeParse(entry, { reportInput: true });
        if (!result.success) {
          pushIssues(context.issues, result.error.issues, key);
          return z.NEVER;
        }
        record[key] = result.data;
      }
      return record;
    })
    .meta({ type: "object", additionalProperties: toItemSchema(item), maxProperties: max });
}

function findLengthIssue(value: unknown, min: number, max: number): z.core.$ZodRawIssue | null {
  if (!Array.isArray(value)) return { code: "invalid_type", expected: "array", input: value };
  if (value.length < min) {
    return { code: "too_small", origin: "array", minimum: min, inclusive: true, input: value };
  }
  if (value.length > max) {
    return { code: "too_big", origin: "array", maximum: max, inclusive: true, input: value };
  }
  return null;
}

function pushIssues(
  target: z.core.$ZodRawIssue[],
  issues: readonly z.core.$ZodIssue[],
  place: number | string,
): void {
  for (const issue of issues) {
    target.push({ ...issue, path: [place, ...issue.path] } as z.core.$ZodRawIssue);
  }
}

function toItemSchema(item: z.ZodType): object {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(item, { io: "input" });
  return schema;
}
