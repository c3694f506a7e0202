// node llama_cpp.mjs MAESTRALE MODEL SHARED: next-token probabilities and greedy text of MAESTRALE against llama.cpp's,
// on a published model and on tiny ones from SHARED.
// Prints one line for each failing case and `N passed, N failed`.
import {execFileSync} from "node:child_process";
import {mkdtempSync, readFileSync, rmSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {getLlama} from "node-llama-cpp";
import {checkEmbeddings} from "./embeddings.mjs";
import {checkMixtures} from "./mixtures.mjs";

const [maestrale, modelPath, shared] = process.argv.slice(2);
const prompts = ["Once upon a time", "Lily and Tom went to the park. They", "The big red dog was", "One day, a girl named Mia"];
const greedyTokens = 48;
const probabilityTolerance = 2e-3;

const scratch = mkdtempSync(join(tmpdir(), "maestrale-peers-"));

function ours(parameters, input = "") {
  return execFileSync(maestrale, [...parameters, "--json", "--quiet"], {encoding: "utf8", input, maxBuffer: 1 << 28});
}

const ourTokens = (prompt) => JSON.parse(ours(["tokenize", modelPath, "--add-special"], prompt)).tokens;

function ourLogits(path, tokens) {
  const file = join(scratch, "logits.f32");
  const {positions, vocabulary} = JSON.parse(ours(["logits", path, "--tokens", tokens.join(","), "--output", file]));
  const bytes = readFileSync(file);
  return Array.from({length: vocabulary}, (_, i) => bytes.readFloatLE(4 * ((positions - 1) * vocabulary + i)));
}

const ourGreedy = (prompt) =>
  JSON.parse(ours(["generate", modelPath, "--prompt", prompt, "--temperature", "0", "--max-tokens", String(greedyTokens),
                   "--ignore-end", "--kv-type", "f32"])).tokens;

function softmax(logits) {
  const largest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

async function theirProbabilities(sequence, tokens) {
  await sequence.clearHistory();
  const last = tokens.length - 1;
  const input = tokens.map((token, i) => (i === last ? [token, {generateNext: {probabilities: true}}] : token));
  return (await sequence.controlledEvaluate(input))[last].next.probabilities;
}

async function theirGreedy(sequence, tokens, count) {
  await sequence.clearHistory();
  const generated = [];
  for await (const token of sequence.evaluate(tokens, {temperature: 0, yieldEogToken: true})) {
    generated.push(token);
    if (generated.length >= count) break;
  }
  return generated;
}

// The same text, or the same until two tokens are as likely as the tolerance lets them be.
function sameUntilTie(path, prompt, mine, theirs, tolerance) {
  const at = mine.findIndex((token, i) => token !== theirs[i]);
  if (at < 0) return mine.length === theirs.length;
  const probabilities = softmax(ourLogits(path, [...prompt, ...mine.slice(0, at)]));
  return Math.abs(probabilities[mine[at]] - probabilities[theirs[at]]) <= 2 * tolerance;
}

function largestDifference(probabilities, theirs) {
  return Math.max(...probabilities.map((p, token) => Math.abs(p - (theirs.get(token) ?? 0))));
}

// Both engines on the same tokens: the largest difference of a probability after them, and what is wrong with the
// greedy continuation (empty: nothing).
async function compare(sequence, path, tokens, count, tolerance) {
  const difference = largestDifference(softmax(ourLogits(path, tokens)), await theirProbabilities(sequence, tokens));
  const mine = [];
  while (mine.length < count) {
    const logits = ourLogits(path, [...tokens, ...mine]);
    mine.push(logits.indexOf(Math.max(...logits)));
  }
  const theirs = await theirGreedy(sequence, tokens, count);
  const same = sameUntilTie(path, tokens, mine, theirs, tolerance);
  return {difference, greedy: same ? "" : `${mine}, expected ${theirs}`};
}

const counts = {passed: 0, failed: 0};
function judge(what, problem) {
  counts[problem ? "failed" : "passed"] += 1;
  if (problem) console.log(`FAIL ${what}: ${problem}`);
}

const llama = await getLlama({build: "never", gpu: false, logLevel: "error", progressLogs: false});
const model = await llama.loadModel({modelPath});
const context = await model.createContext({contextSize: 256, threads: 1, flashAttention: false});
const sequence = context.getSequence();
let worst = 0;
for (const prompt of prompts) {
  const tokens = [model.tokens.bos, ...model.tokenize(prompt)];
  const mine = ourTokens(prompt);
  judge(`tokens of "${prompt}"`, String(mine) === String(tokens) ? "" : `${mine}, expected ${tokens}`);

  const theirs = await theirProbabilities(sequence, tokens);
  const probabilities = softmax(ourLogits(modelPath, tokens));
  const difference = largestDifference(probabilities, theirs);
  worst = Math.max(worst, difference);
  judge(`probabilities after "${prompt}"`,
        difference <= probabilityTolerance ? "" : `differ by ${difference}, tolerance ${probabilityTolerance}`);

  const [greedy, expected] = [ourGreedy(prompt), await theirGreedy(sequence, tokens, greedyTokens)];
  judge(`greedy text after "${prompt}"`, sameUntilTie(modelPath, tokens, greedy, expected, probabilityTolerance) ? "" : `${greedy}, expected ${expected}`);
}
await checkEmbeddings(llama, maestrale, judge);
await checkMixtures(llama, shared, judge, {maestrale, compare});
console.log(`largest difference of a next-token probability: ${worst.toExponential(2)}`);
console.log(`${counts.passed} passed, ${counts.failed} failed`);
rmSync(scratch, {recursive: true});
await llama.dispose();
process.exit(counts.failed ? 1 : 0);
