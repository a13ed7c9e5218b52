/** Separates a model's reasoning from its answer while both stream. */
import type { ReasoningMode } from "./reasoning-tags.ts";
import { createStopMatcher } from "./stop-strings.ts";

/** What one piece of text brought to each side. */
export interface SplitText {
  readonly reasoning: string;
  readonly content: string;
}

/**
 * Cuts the output at the marks of its family. An opening mark counts only at the start of the output; whitespace
 * around the reasoning and between it and the answer is removed; reasoning that is never closed stays reasoning.
 */
export interface ReasoningSplitter {
  push(text: string): SplitText;
  /** What was held back when the output has ended. */
  flush(): SplitText;
}

/** A consumer of the text of one part of the output. */
interface Part {
  push(text: string): SplitText;
  flush(): SplitText;
}

const nothing: SplitText = { reasoning: "", content: "" };

/** A splitter for one output. */
export function createReasoningSplitter({ tags, startsInside }: ReasoningMode): ReasoningSplitter {
  let part: Part = startsInside ? createReasoningPart() : createStartPart();

  function enter(next: Part, text: string): SplitText {
    part = next;
    return text === "" ? nothing : next.push(text);
  }

  /** Before anything is decided: whitespace and what may become an opening mark. */
  function createStartPart(): Part {
    let held = "";
    return {
      push(text) {
        held += text;
        const visible = held.trimStart();
        if (visible.startsWith(tags.open)) {
          return enter(createReasoningPart(), visible.slice(tags.open.length));
        }
        const opensContent = startsWithMark(visible, tags.contentOpen);
        if (opensContent === true) return enter(createAnswerPart(), visible);
        if (tags.open.startsWith(visible) || opensContent === "perhaps") return nothing;
        return enter(createContentPart(), held);
      },
      flush: () => ({ reasoning: "", content: held }),
    };
  }

  function createReasoningPart(): Part {
    const closing = createStopMatcher([tags.close]);
    const tidy = createTidyText();
    return {
      push(text) {
        const found = closing.push(text);
        const reasoning = tidy(found.text);
        if (found.matched === null) return { reasoning, content: "" };
        const { content } = enter(createAnswerPart(), found.rest);
        return { reasoning, content };
      },
      flush: () => ({ reasoning: tidy(closing.flush()), content: "" }),
    };
  }

  /** After the reasoning: whitespace and what may become the mark that opens the answer. */
  function createAnswerPart(): Part {
    let held = "";
    return {
      push(text) {
        held += text;
        const visible = held.trimStart();
        if (visible === "") return nothing;
        const opensContent = startsWithMark(visible, tags.contentOpen);
        if (opensContent === "perhaps") return nothing;
        if (!opensContent) return enter(createContentPart(), visible);
        return enter(createWrappedPart(), visible.slice(tags.contentOpen?.length));
      },
      flush: () => ({ reasoning: "", content: held.trimStart() }),
    };
  }

  /** An answer between marks of its own. What follows its closing mark is not part of it. */
  function createWrappedPart(): Part {
    const closing = createStopMatcher(tags.contentClose === undefined ? [] : [tags.contentClose]);
    const tidy = createTidyText();
    return {
      push: (text) => ({ reasoning: "", content: tidy(closing.push(text).text) }),
      flush: () => ({ reasoning: "", content: tidy(closing.flush()) }),
    };
  }

  return {
    push: (text) => (text === "" ? nothing : part.push(text)),
    flush: () => part.flush(),
  };
}

function createContentPart(): Part {
  return { push: (content) => ({ reasoning: "", content }), flush: () => nothing };
}

/** `true`: the text begins with the mark; "perhaps": it may yet. */
function startsWithMark(text: string, mark: string | undefined): boolean | "perhaps" {
  if (mark === undefined) return false;
  if (text.startsWith(mark)) return true;
  return mark.startsWith(text) && "perhaps";
}

/** Removes whitespace at both ends of a text that comes in pieces: that at the end is held until more text follows. */
function createTidyText(): (text: string) => string {
  let heldSpace = "";
  let isStarted = false;
  return (text) => {
    const candidate = isStarted ? heldSpace + text : text.trimStart();
    if (candidate === "") return "";
    const visible = candidate.trimEnd();
    heldSpace = candidate.slice(visible.length);
    if (visible !== "") isStarted = true;
    return visible;
  };
}
