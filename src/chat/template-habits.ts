/** Finds out by trial what form of messages a template reads. */
import type { TemplateHabits } from "./template-messages.ts";

const needle = "inkstone-needle";

/** Tries a template. `run` renders it and throws where it fails. */
export function findTemplateHabits(
  source: string,
  run: (variables: Readonly<Record<string, unknown>>) => string,
): TemplateHabits {
  const shows = (messages: readonly unknown[]): boolean => {
    try {
      return run({ messages, tools: null, add_generation_prompt: true }).includes(needle);
    } catch {
      return false;
    }
  };
  const user = (content: unknown): unknown => ({ role: "user", content });
  const textPart = [{ type: "text", text: needle }];
  const wantsParts = !shows([user(needle)]) && shows([user(textPart)]);

  const question = user(wantsParts ? [{ type: "text", text: "q" }] : "q");
  const call = (args: unknown): unknown => ({
    role: "assistant",
    content: null,
    tool_calls: [{ id: "call00000", type: "function", function: { name: "f", arguments: args } }],
  });
  const wantsArgumentsAsText =
    !shows([question, call({ key: needle })]) && shows([question, call(JSON.stringify({ key: needle }))]);

  return { wantsParts, wantsArgumentsAsText, knowsDeveloper: source.includes("developer") };
}
