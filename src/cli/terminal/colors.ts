import { styleText } from "node:util";

/** Colours for one stream; every function gives the text unchanged where colours are off. */
export interface Palette {
  readonly enabled: boolean;
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Are colours wanted? On a terminal, unless NO_COLOR or TERM=dumb says otherwise; FORCE_COLOR overrules. */
export function wantsColors(isTerminal: boolean, env: Environment): boolean {
  if (env["NO_COLOR"]) return false;
  if (env["FORCE_COLOR"]) return env["FORCE_COLOR"] !== "0";
  return isTerminal && env["TERM"] !== "dumb";
}

/** The palette of a stream. */
export function createPalette(isTerminal: boolean, env: Environment): Palette {
  const enabled = wantsColors(isTerminal, env);
  const paint =
    (style: Parameters<typeof styleText>[0]) =>
    (text: string): string =>
      enabled ? styleText(style, text, { validateStream: false }) : text;
  return {
    enabled,
    bold: paint("bold"),
    dim: paint("dim"),
    red: paint("red"),
    green: paint("green"),
    yellow: paint("yellow"),
    cyan: paint("cyan"),
  };
}
