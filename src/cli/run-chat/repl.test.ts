import { PassThrough } from "node:stream";
import { expect, test, vi } from "vitest";

import type { StopSignal } from "../context.ts";
import { createPalette } from "../terminal/colors.ts";
import { runChat } from "./repl.ts";
import type { ChatSession } from "./session.ts";

interface Sent {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly temperature?: number;
}

const encoder = new TextEncoder();

const chunk = (delta: string, finish: string | null = null): Uint8Array => {
  const choices = [{ delta: { content: delta }, finish_reason: finish }];
  return encoder.encode(`data: ${JSON.stringify({ choices })}\n\n`);
};

/** A chat over a model that repeats what it is told; told "forever", it begins an answer and never ends it. */
function startChat() {
  const sent: Sent[] = [];
  const cancelled: string[] = [];
  const session: ChatSession = {
    model: "echo",
    close: async () => {},
    request: async (_path, init) => {
      const body = JSON.parse(init?.body as string) as Sent;
      sent.push(body);
      const text = body.messages.at(-1)?.content ?? "";
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(chunk(text === "forever" ? "once " : `you said ${text}`));
          if (text === "forever") return;
          controller.enqueue(chunk("", "stop"));
          controller.close();
        },
        cancel: () => void cancelled.push(text),
      });
      return new Response(stream);
    },
  };
  const input = new PassThrough();
  const screen = new PassThrough();
  let shown = "";
  screen.on("data", (data: Buffer) => (shown += data.toString()));
  const output = {
    write: (text: string) => void (shown += text),
    isTerminal: true,
    columns: 80,
    palette: createPalette(false, {}),
  };
  const handlers = new Set<(signal: StopSignal) => void>();
  const ended = runChat(
    {
      stdin: input as unknown as NodeJS.ReadStream,
      stdoutStream: screen as unknown as NodeJS.WriteStream,
      stdout: output,
      stderr: output,
      onSignal: (handler) => {
        handlers.add(handler);
        return () => void handlers.delete(handler);
      },
    },
    session,
    { system: "be brief", parameters: {}, verbose: false },
  );
  return {
    sent,
    cancelled,
    handlers,
    ended,
    type: (text: string) => input.write(text),
    screen: () => shown,
    /** Waits until the text was shown, and forgets what was shown before its end. */
    until: async (text: string) => {
      await vi.waitFor(() => expect(shown).toContain(text));
      shown = shown.slice(shown.indexOf(text) + text.length);
    },
  };
}

test("messages are answered with the conversation so far, and /clear forgets it", async () => {
  const chat = startChat();
  await chat.until(">>> ");
  chat.type("one\r");
  await chat.until("you said one\n");
  chat.type('"""two\rlines"""\r');
  await chat.until("you said two\nlines\n");
  chat.type("/clear\r");
  await chat.until("forgotten");
  chat.type("three\r");
  await chat.until("you said three\n");
  chat.type("/bye\r");
  await chat.ended;
  expect(chat.sent.map(({ messages }) => messages.map(({ role, content }) => `${role}: ${content}`))).toEqual(
    [
      ["system: be brief", "user: one"],
      ["system: be brief", "user: one", "assistant: you said one", "user: two\nlines"],
      ["system: be brief", "user: three"],
    ],
  );
  expect(chat.handlers.size).toBe(0);
});

test("Ctrl+C stops the answer, and the chat goes on with what was said", async () => {
  const chat = startChat();
  await chat.until(">>> ");
  chat.type("forever\r");
  await chat.until("once ");
  chat.type("\u0003");
  await chat.until(">>> ");
  chat.type("next\r");
  await chat.until("you said next\n");
  expect(chat.cancelled).toEqual(["forever"]);
  expect(chat.sent[1]?.messages.map(({ content }) => content)).toEqual([
    "be brief",
    "forever",
    "once ",
    "next",
  ]);
  chat.type("\u0003");
  await chat.until("/bye to leave");
  chat.type("\u0004");
  await chat.ended;
});

test("what is typed during an answer is not mixed into it, and is asked next", async () => {
  const chat = startChat();
  await chat.until(">>> ");
  chat.type("forever\r");
  await chat.until("once ");
  chat.type("hurry\r");
  chat.type("\u0003");
  await chat.until("you said hurry\n");
  chat.type("/bye\r");
  await chat.ended;
});

test("commands set parameters, and mistakes are told", async () => {
  const chat = startChat();
  await chat.until(">>> ");
  chat.type("/set temperature 0.5\r/set system be long\r/show\r");
  await chat.until("temperature  0.5");
  chat.type("/set temprature 1\r");
  await chat.until("did you mean temperature?");
  chat.type("/hlp\r");
  await chat.until("did you mean /help?");
  chat.type("hi\r");
  await chat.until("you said hi\n");
  expect(chat.sent[0]).toMatchObject({
    temperature: 0.5,
    messages: [{ role: "system", content: "be long" }, { role: "user" }],
  });
  chat.type("\u0004");
  await chat.ended;
});

test("SIGTERM ends the chat", async () => {
  const chat = startChat();
  await chat.until(">>> ");
  chat.handlers.forEach((handler) => handler("SIGTERM"));
  await chat.ended;
});
