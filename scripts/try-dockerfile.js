// Carries out the Dockerfile's steps without a container engine: each stage is a folder, RUN lines run in it, and the final
// command is started with the image's environment, checked with its HEALTHCHECK, asked a question and stopped with SIGTERM.
// It shows that the steps work, not that the base image has what they need.
//
//   node scripts/try-dockerfile.js [CACHE_DIR]     CACHE_DIR: a cache directory with the model, so that nothing is downloaded
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const context = fileURLToPath(new URL("..", import.meta.url));
const temporary = mkdtempSync(path.join(os.tmpdir(), "inkstone-docker-"));
const cacheDirectory = process.argv[2] === undefined ? null : path.resolve(process.argv[2]);
const stages = new Map();
const image = { env: {}, cwd: "/", root: "", entrypoint: [], command: [], health: [] };

try {
  for (const [keyword, rest] of readInstructions(path.join(context, "Dockerfile"))) follow(keyword, rest);
  await tryImage();
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

function readInstructions(file) {
  return readFileSync(file, "utf8")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const space = line.indexOf(" ");
      return [line.slice(0, space), line.slice(space + 1).trim()];
    });
}

function follow(keyword, rest) {
  console.log(`${keyword} ${rest.slice(0, 100)}`);
  switch (keyword) {
    case "FROM": {
      const name = /\sAS\s+(\S+)/i.exec(rest)?.[1] ?? "final";
      image.root = path.join(temporary, name);
      mkdirSync(image.root);
      stages.set(name, image.root);
      break;
    }
    case "WORKDIR":
      image.cwd = rest;
      mkdirSync(inRoot(rest), { recursive: true });
      break;
    case "COPY":
      copy(rest);
      break;
    case "RUN":
      run(rest);
      break;
    case "ENV":
      for (const [, name, value] of rest.matchAll(/(\w+)=(\S+)/g)) image.env[name] = value;
      break;
    case "HEALTHCHECK":
      image.health = JSON.parse(rest.slice(rest.indexOf("[")));
      break;
    case "ENTRYPOINT":
      image.entrypoint = JSON.parse(rest);
      break;
    case "CMD":
      image.command = JSON.parse(rest);
      break;
    case "USER":
    case "VOLUME":
    case "EXPOSE":
      break;
    default:
      throw new Error(`unknown instruction ${keyword}`);
  }
}

function inRoot(target) {
  return path.join(image.root, path.posix.resolve(image.cwd, target));
}

function copy(rest) {
  const words = rest.split(/\s+/);
  const from = words[0].startsWith("--from=") ? stages.get(words.shift().slice("--from=".length)) : context;
  const target = words.pop();
  for (const source of words) {
    const origin = path.join(from, source);
    const isInto = target.endsWith("/") && !statSync(origin).isDirectory();
    cpSync(origin, isInto ? path.join(inRoot(target), path.basename(source)) : inRoot(target), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
}

/** Absolute folders of the image lie under the stage; there is no user "node" here to own them. */
function run(rest) {
  const script = rest
    .replaceAll(/\s\/models\b/g, ` ${image.root}/models`)
    .replaceAll("chown node:node", "chmod u+w");
  const { status } = spawnSync("sh", ["-ec", script], {
    cwd: inRoot("."),
    stdio: "inherit",
    env: { ...process.env, NODE_ENV: "" },
  });
  if (status !== 0) throw new Error(`RUN ended with status ${status}`);
}

async function tryImage() {
  const port = await freePort();
  const models = cacheDirectory ?? path.join(image.root, "models");
  const home = path.join(temporary, "home");
  mkdirSync(home);
  chmodSync(inRoot("."), 0o555);
  // the host's loopback address stands for the container's own network
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    ...image.env,
    INKSTONE_PORT: String(port),
    INKSTONE_CACHE_DIR: models,
  };
  const [program, ...args] = [...image.entrypoint, ...image.command];
  const server = spawn(program, args, { cwd: inRoot("."), env, stdio: "inherit" });
  const ended = new Promise((resolve) => server.once("exit", (code, signal) => resolve(code ?? signal)));
  try {
    await healthy(env, ended);
    console.log(`healthy; first words: ${await ask(port)}`);
    server.kill("SIGTERM");
    const status = await ended;
    if (status !== 0) throw new Error(`SIGTERM ended the server with ${status}`);
    console.log("stopped by SIGTERM with status 0");
  } finally {
    server.kill("SIGKILL");
  }
}

async function healthy(env, ended) {
  const [program, ...args] = image.health;
  const deadline = Date.now() + 600_000;
  for (;;) {
    if (spawnSync(program, args, { env, stdio: "ignore", timeout: 5000 }).status === 0) return;
    const early = await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 1000, null))]);
    if (early !== null) throw new Error(`the server ended with ${early} before it was healthy`);
    if (Date.now() > deadline) throw new Error("the server was not healthy within ten minutes");
  }
}

async function ask(port) {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "smollm2-135m",
      max_tokens: 12,
      messages: [{ role: "user", content: "Say hello." }],
    }),
  });
  if (!response.ok) throw new Error(`status ${response.status}: ${await response.text()}`);
  return JSON.stringify((await response.json()).choices[0].message.content);
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
