/** Twenty prompts of under 400 tokens whose greedy answers are recorded: what people really send, in many forms. */

export interface ParityPrompt {
  readonly name: string;
  /** Either a chat, which the model's template renders, or plain text to continue. */
  readonly messages?: readonly { readonly role: "system" | "user" | "assistant"; readonly content: string }[];
  readonly prompt?: string;
  readonly maxTokens: number;
}

const ask = (name: string, content: string, maxTokens = 96): ParityPrompt => ({
  name,
  messages: [{ role: "user", content }],
  maxTokens,
});

const report = `The harbour of Linden lies at the mouth of two rivers. In spring the northern river carries meltwater from the
hills, and the southern one carries clay, so that the basin has to be dredged twice a year. The first dredger was built
in 1871 by the brothers Aldous, who had made their money with coal barges; it worked with a chain of forty buckets and
needed a crew of eleven. It was replaced in 1926 by a suction dredger that one engineer and two hands could run. The
railway came to the harbour in 1889 and left it in 1964. Today four kinds of ship call there: coasters with grain,
tankers with vegetable oil, fishing boats from the cooperative, and in summer a small cruise ship that stays for one
night. The harbour master keeps a log of every arrival. In the last year the log lists 212 coasters, 48 tankers, 1,630
fishing boats and 17 cruise ships. The busiest month was September and the quietest February, when ice closed the northern
river for nine days. The council plans to deepen the channel by one metre, so that larger coasters can enter at low
water; the fishermen object, since the work would disturb the spawning ground behind the eastern breakwater. A decision
is expected in May.`;

export const parityPrompts: readonly ParityPrompt[] = [
  ask("greeting", "Hi! Who are you?"),
  ask("capital", "What is the capital of France?"),
  ask("physics", "Explain in two sentences why the sky is blue."),
  ask("list", "List five fruits and their colours as a Markdown list."),
  ask("code-python", "Write a Python function that returns the n-th Fibonacci number.", 128),
  ask(
    "code-sql",
    "Write an SQL query that counts the orders of each customer in the table orders(id, customer_id).",
  ),
  ask("json", 'Answer only with JSON: {"name": ..., "age": ...} for Ada Lovelace at the age of 36.', 64),
  ask("sum", "What is 17 + 25? Think step by step."),
  ask("chinese", "请用一句话介绍一下北京。"),
  ask("chinese-to-english", "Translate into English: 今天天气很好，我们去公园吧。", 64),
  ask("emoji", "Describe the seasons with emoji: 🌸 ☀️ 🍂 ❄️", 64),
  ask("poem", "Write a short poem about the sea.", 128),
  ask("email", "Write a polite email to my landlord about a broken heater.", 128),
  ask("summary", `Summarise the following text in three sentences.\n\n${report}`, 128),
  {
    name: "several-turns",
    messages: [
      { role: "system", content: "You are a terse assistant. Answer in one short sentence." },
      { role: "user", content: "Name a large river in Egypt." },
      { role: "assistant", content: "The Nile." },
      { role: "user", content: "Into which sea does it flow?" },
    ],
    maxTokens: 64,
  },
  {
    name: "continue-story",
    prompt: "Once upon a time, in a small village by the sea, there lived a",
    maxTokens: 128,
  },
  {
    name: "continue-code",
    prompt: 'def is_prime(n: int) -> bool:\n    """Return True if n is a prime number."""\n',
    maxTokens: 96,
  },
  { name: "continue-numbers", prompt: "1, 2, 4, 8, 16, 32,", maxTokens: 64 },
  {
    name: "continue-html",
    prompt: "<!DOCTYPE html>\n<html>\n<head>\n  <title>My first page</title>\n",
    maxTokens: 96,
  },
  { name: "continue-report", prompt: report, maxTokens: 96 },
];
