/** Renders so that control texts inside what users wrote can be told from those that the template wrote. */

/** A piece of a prompt. */
export interface PromptSegment {
  readonly text: string;
  /** Read control-token text in it as control tokens; false for what users wrote. */
  readonly parseSpecial: boolean;
}

/** Renders the messages with every control text inside them replaced by what `replace` gives. */
export type RenderWith = (replace: (controlText: string) => string) => string;

const privateUseStart = 0xe000;
const privateUseEnd = 0xf8fd;

/** Each segment is tokenised by itself, so that a message full of control texts must not make many thousands. */
const maxSegments = 1024;

/**
 * One segment where users wrote no control text. Else each such text is rendered as a private-use character and
 * becomes a segment of its own. Where the template treats that character otherwise than the text (it looks for it in a
 * message, or changes it), and where there are very many, a zero-width space inside each such text keeps it from being
 * read as a control token.
 */
export function renderGuarded(renderWith: RenderWith): PromptSegment[] {
  const found = new Set<string>();
  let foundCount = 0;
  const text = renderWith((controlText) => {
    found.add(controlText);
    foundCount++;
    return controlText;
  });
  if (foundCount === 0) return [{ text, parseSpecial: true }];

  const placeholders = 2 * foundCount < maxSegments ? choosePlaceholders(found, text) : null;
  if (placeholders !== null) {
    const segments = split(
      renderWith((controlText) => placeholders.get(controlText) ?? ""),
      placeholders,
    );
    if (segments.map((segment) => segment.text).join("") === text) return segments;
  }
  return [{ text: renderWith(breakControlText), parseSpecial: true }];
}

/** One character for each text, none of which is in the rendered text; null where there are not enough of them. */
function choosePlaceholders(controlTexts: ReadonlySet<string>, text: string): Map<string, string> | null {
  const placeholders = new Map<string, string>();
  let code = privateUseStart;
  for (const controlText of controlTexts) {
    while (code <= privateUseEnd && text.includes(String.fromCharCode(code))) code++;
    if (code > privateUseEnd) return null;
    placeholders.set(controlText, String.fromCharCode(code++));
  }
  return placeholders;
}

function split(rendered: string, placeholders: ReadonlyMap<string, string>): PromptSegment[] {
  const controlTexts = new Map([...placeholders].map(([controlText, character]) => [character, controlText]));
  const segments: { text: string; parseSpecial: boolean }[] = [];
  const add = (text: string, parseSpecial: boolean): void => {
    const last = segments.at(-1);
    if (text === "") return;
    if (last?.parseSpecial === parseSpecial) last.text += text;
    else segments.push({ text, parseSpecial });
  };
  for (const piece of rendered.split(/([\uE000-\uF8FD])/)) {
    const controlText = controlTexts.get(piece);
    add(controlText ?? piece, controlText === undefined);
  }
  return segments;
}

function breakControlText(controlText: string): string {
  const first = String.fromCodePoint(controlText.codePointAt(0) ?? 0);
  return `${first}\u200B${controlText.slice(first.length)}`;
}
