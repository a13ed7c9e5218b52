/** Jinja templates with the names that chat templates expect to find. */
import { Environment, Interpreter, Template } from "@huggingface/jinja";

/** Thrown by a template's `raise_exception`; its message is the template's own. */
export class TemplateRefusal extends Error {
  override readonly name = "TemplateRefusal";
}

/** A template that was parsed once and renders many times. */
export interface CompiledTemplate {
  /** Throws `TemplateRefusal` where the template refuses, any other error where it fails. */
  render(variables: Readonly<Record<string, unknown>>, now: Date): string;
}

/** Names that a template's environment defines; variables must not take them. */
export const reservedNames: ReadonlySet<string> = new Set([
  "true",
  "false",
  "none",
  "True",
  "False",
  "None",
  "namespace",
  "range",
  "raise_exception",
  "strftime_now",
]);

/** Most items of one `range()`: templates count messages, so more is a mistake. */
const maxRangeLength = 1_000_000;

/** Parses a template; throws the parser's error. */
export function compileTemplate(source: string): CompiledTemplate {
  const program = new Template(source).parsed;
  return {
    render(variables, now) {
      const environment = new Environment();
      for (const [name, value] of [
        ["true", true],
        ["false", false],
        ["none", null],
        ["True", true],
        ["False", false],
        ["None", null],
      ] as const) {
        environment.set(name, value);
      }
      environment.set("range", range);
      environment.set("strftime_now", (format: string) => formatTime(now, format));
      environment.set("raise_exception", (message: unknown) => {
        throw new TemplateRefusal(String(message));
      });
      for (const [name, value] of Object.entries(variables)) environment.set(name, value);
      return String(new Interpreter(environment).run(program).value);
    },
  };
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= maxRangeLength)) throw new Error(`range(${start}, ${stop}, ${step}) is too long`);
  return Array.from({ length }, (_, index) => start + index * step);
}

const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** Python's `strftime` with English names, in local time; unknown directives stay as they are. */
export function formatTime(time: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const month = months[time.getMonth()] ?? "";
  const day = days[time.getDay()] ?? "";
  const hour12 = time.getHours() % 12 || 12;
  const directives: Readonly<Record<string, () => string>> = {
    Y: () => String(time.getFullYear()),
    y: () => two(time.getFullYear() % 100),
    m: () => two(time.getMonth() + 1),
    d: () => two(time.getDate()),
    B: () => month,
    b: () => month.slice(0, 3),
    A: () => day,
    a: () => day.slice(0, 3),
    H: () => two(time.getHours()),
    I: () => two(hour12),
    M: () => two(time.getMinutes()),
    S: () => two(time.getSeconds()),
    p: () => (time.getHours() < 12 ? "AM" : "PM"),
    "%": () => "%",
  };
  return format.replaceAll(/%(-?)([A-Za-z%])/g, (all: string, unpadded: string, letter: string) => {
    const value = directives[letter]?.();
    if (value === undefined) return all;
    return unpadded === "" ? value : value.replace(/^0(?=\d)/, "");
  });
}
