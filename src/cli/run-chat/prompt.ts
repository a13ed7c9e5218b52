/** From the words of the command line and standard input to a prompt. */

/** Words with a space in them are no model's name, unless they end like a model's file. */
const looksLikePrompt = (word: string): boolean => /\s/.test(word) && !/\.gguf$/i.test(word);

/** The model and the prompt among the words. With `--model` all words are the prompt. */
export function splitWords(
  words: readonly string[],
  hasModelFlag: boolean,
): { readonly model: string | undefined; readonly prompt: string } {
  const [first, ...rest] = words;
  if (first === undefined || hasModelFlag || looksLikePrompt(first)) {
    return { model: undefined, prompt: words.join(" ") };
  }
  return { model: first, prompt: rest.join(" ") };
}

/** What is asked: standard input, where it is no terminal, before the words; null when there is neither. */
export async function toPrompt(
  stdin: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean },
  words: string,
): Promise<string | null> {
  const piped = stdin.isTTY === true ? "" : await readAll(stdin);
  const parts = [piped.trimEnd(), words].filter((part) => part.trim() !== "");
  return parts.length === 0 ? null : parts.join("\n\n");
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}
