// node llama_cpp_speed.mjs MAESTRALE MODEL ROUNDS PROMPT DECODE DEPTH: the speed of MAESTRALE and of llama.cpp on the
// same GGUF file, in turns, two threads each; prints the medians and their ratios.
import {execFileSync} from "node:child_process";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [maestrale, modelPath, ...numbers] = process.argv.slice(2);
const [rounds, prompt, decode, depth] = numbers.map(Number);
const threads = 2;

const tokensOf = (count, salt) => Array.from({length: count}, (_, i) => 300 + ((i * 7919 + salt * 104729) % 31000));
const say = (text) => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`);
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

async function seconds(work) {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

async function generate(sequence, token) {
  let made = 0;
  for await (const _ of sequence.evaluate([token], {temperature: 0, yieldEogToken: true})) {
    if (++made >= decode) break;
  }
}

// Tokens per second of a prompt, of decoding after it, and of decoding at the depth.
async function theirs(sequence, salt) {
  await sequence.clearHistory();
  const prefillSeconds = await seconds(() => sequence.evaluateWithoutGeneratingNewTokens(tokensOf(prompt, salt)));
  await sequence.clearHistory();
  const decodeSeconds = await seconds(() => generate(sequence, 300));
  const out = {prefill: prompt / prefillSeconds, decode: decode / decodeSeconds};
  if (depth === 0) return out;
  await sequence.clearHistory();
  out.deepPrefill = depth / (await seconds(() => sequence.evaluateWithoutGeneratingNewTokens(tokensOf(depth, salt))));
  out.deepDecode = decode / (await seconds(() => generate(sequence, 300)));
  return out;
}

function bench(...more) {
  const parameters = ["bench", modelPath, "--json", "--quiet", "--threads", String(threads), "--repetitions", "1",
                      "--decode-tokens", String(decode), "--sequences", "1", ...more];
  return JSON.parse(execFileSync(maestrale, parameters, {encoding: "utf8", maxBuffer: 1 << 24}));
}

function ours() {
  const flat = bench("--prefill-tokens", String(prompt), "--depth", "0");
  const out = {prefill: flat.prefill[0].tokens_per_s, decode: flat.decode[0].tokens_per_s,
               peak: flat.prefill[0].peak_fraction, bandwidth: flat.decode[0].bandwidth_fraction};
  if (depth === 0) return out;
  // The same question as theirs: a whole prompt of that depth, then steps after it.
  const deep = bench("--prefill-tokens", String(depth), "--depth", `0,${depth}`, "--context", String(2 * depth + decode));
  out.deepPrefill = deep.prefill.find((row) => row.depth === 0).tokens_per_s;
  out.deepDecode = deep.decode.find((row) => row.depth === depth).tokens_per_s;
  return out;
}

say(`llama.cpp loads ${modelPath}`);
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads});
const model = await llama.loadModel({modelPath});
const context = await model.createContext({contextSize: Math.max(prompt, depth) + decode + 64, batchSize: 512, threads});
const sequence = context.getSequence();
say("llama.cpp warms up");
await theirs(sequence, 0);

const runs = {ours: [], theirs: []};
for (let round = 1; round <= rounds; ++round) {
  say(`round ${round} of ${rounds}: llama.cpp`);
  await sequence.clearHistory();
  await sequence.evaluateWithoutGeneratingNewTokens(tokensOf(prompt, 0));  // we may have pushed its file out of memory
  runs.theirs.push(await theirs(sequence, round));
  say(`round ${round} of ${rounds}: maestrale`);
  runs.ours.push(ours());
}
const middle = (who, what) => median(runs[who].map((run) => run[what]));
console.log(`${modelPath.split("/").at(-1)}, ${threads} threads, medians of ${rounds} rounds, tokens/s`);
for (const what of Object.keys(runs.theirs[0])) {
  if (!(what in runs.ours[0])) continue;
  const [mine, peer] = [middle("ours", what), middle("theirs", what)];
  console.log(`${what.padEnd(12)} maestrale ${mine.toFixed(1).padStart(7)}  llama.cpp ${peer.toFixed(1).padStart(7)}  ` +
              `ratio ${(mine / peer).toFixed(2)}`);
}
console.log(`prefill at ${(100 * middle("ours", "peak")).toFixed(0)} % of the int8 peak, ` +
            `decode at ${(100 * middle("ours", "bandwidth")).toFixed(0)} % of the read bandwidth`);
await model.dispose();
process.exit(0);
