/** Entry of the engine's process: loads the model, then steps while there is work and posts one message for each step. */
import { Engine } from "../engine.ts";
import type { EngineConfig } from "../types.ts";
import { connectParent } from "./child-runtime.ts";
import type { ParentChannel } from "./child-runtime.ts";
import { createEngineBackend } from "./engine-backend.ts";
import { EngineLoop } from "./engine-loop.ts";
import { watchExecutor } from "./executor-watch.ts";
import { toWireError } from "./messages.ts";
import type { FromEngine, ScriptedFaults, ToEngine } from "./messages.ts";

let running: { readonly engine: Engine; readonly loop: EngineLoop } | null = null;

connectParent<FromEngine>(async (message, channel) => receive(message as ToEngine, channel));

async function receive(message: ToEngine, channel: ParentChannel<FromEngine>): Promise<void> {
  switch (message.type) {
    case "load":
      try {
        await load(message.config, message.scripted, channel);
      } catch (error) {
        channel.post({ type: "load-failed", error: toWireError(error) });
        channel.exit(1);
      }
      return;
    case "submit":
      running?.loop.submit(message.handle, message.request);
      return;
    case "cancel":
      running?.loop.cancel(message.id);
      return;
    case "shutdown":
      running?.loop.stop();
      running?.engine.dispose();
      channel.exit(0);
      return;
  }
}

async function load(
  config: EngineConfig,
  scripted: ScriptedFaults,
  channel: ParentChannel<FromEngine>,
): Promise<void> {
  const { executor, info, supportsPrefixSharing } = await createEngineBackend(config, scripted);
  const watched = watchExecutor(executor, (ids, nPromptTokens) => {
    const handles = ids.flatMap((id) => loop.handles.get(id) ?? []);
    channel.post({ type: "running", handles, nPromptTokens });
  });
  const engine = new Engine(watched, {
    maxNumSeqs: info.maxNumSeqs,
    maxNumBatchedTokens: info.maxNumBatchedTokens,
    maxWaitMs: config.maxWaitMs,
    prefixCache: config.prefixCache && supportsPrefixSharing,
    now: () => performance.now(),
  });
  const loop = new EngineLoop({
    engine,
    post: (message) => channel.post(message),
    backlog: () => channel.backlog,
    onFatal(error) {
      channel.post({ type: "fatal", error: toWireError(error) });
      channel.exit(1);
    },
  });
  running = { engine, loop };
  channel.post({ type: "ready", info });
}
