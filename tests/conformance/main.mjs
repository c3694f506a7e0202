// node main.mjs MAESTRALE MODEL TEMPLATE FOLDER: starts the server and runs every client's cases against it. FOLDER has
// the encoders of encoder.py. Prints one line for each failing case and `N passed, N failed`.
import {spawn} from "node:child_process";
import {createInterface} from "node:readline";
import {aiCases} from "./ai.mjs";
import {anthropicCases} from "./anthropic.mjs";
import {embeddingCases} from "./embeddings.mjs";
import {keepAliveCases} from "./keep_alive.mjs";
import {mistralCases} from "./mistral.mjs";
import {ollamaCases} from "./ollama.mjs";
import {openaiCases} from "./openai.mjs";
import {responsesCases} from "./responses.mjs";

const [maestrale, model, template, folder] = process.argv.slice(2);
const encoder = folder + "/encoder.gguf";

const models = [model, "--embed", encoder, "--embed", folder + "/scorer.gguf", "--embed", model];
const names = ["stories", "encoder", "scorer", "decoder"].flatMap((name) => ["--name", name]);
const server = spawn(maestrale, ["serve", ...models, ...names, "--template", template, "--port", "0", "--threads", "1",
                                 "--sequences", "4", "--context", "512", "--keep-alive", "0.1", "--quiet"], {stdio: ["ignore", "ignore", "pipe"]});
const address = await new Promise((resolve, reject) => {
  const seen = [];
  createInterface({input: server.stderr}).on("line", (line) => {
    seen.push(line);
    const found = line.match(/ on (http:\S+)$/);
    if (found) resolve(found[1]);
  });
  server.on("exit", () => reject(new Error("the server ended: " + seen.join("\n"))));
});

// The number of a metric, all labels together.
async function metric(name) {
  const text = await (await fetch(address + "/metrics")).text();
  return text.split("\n").filter((line) => line.startsWith(name)).reduce((sum, line) => sum + Number(line.split(" ").pop()), 0);
}

async function eventually(check, what) {
  for (let i = 0; i < 100; ++i) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(what);
}

let passed = 0, failed = 0;
const world = {address, maestrale, encoder, model: "stories", metric, eventually};
for (const cases of [openaiCases, anthropicCases, ollamaCases, mistralCases, embeddingCases, responsesCases, keepAliveCases, aiCases]) {
  for (const [name, run] of Object.entries(cases(world))) {
    try {
      await run();
      ++passed;
    } catch (error) {
      ++failed;
      console.log(`FAILED ${name}: ${error.stack ?? error}`.slice(0, 1500));
    }
  }
}

const ended = new Promise((resolve) => server.on("exit", resolve));
server.kill("SIGTERM");
const code = await ended;
if (code === 0) ++passed;
else {
  ++failed;
  console.log(`FAILED SIGTERM: exit code ${code}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
