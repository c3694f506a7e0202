// Mixtures and latent attention that MAESTRALE writes as GGUF, read by llama.cpp: the same next-token probabilities and
// greedy tokens as MAESTRALE's own. Sources are the tiny models of golden/arch.
import {execFileSync} from "node:child_process";
import {existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync} from "node:fs";
import {tmpdir} from "node:os";
import {join, resolve} from "node:path";

// The folder that lends its tokenizer.json to those that have none.
const families = [
  {name: "mixtral-A"}, {name: "qwen3moe-A"}, {name: "llama4-A"},
  {name: "deepseek2lite-A", tokenizer: "qwen3moe-A"}, {name: "deepseek3-A", tokenizer: "qwen3moe-A"},
  {name: "deepseek3fp8-A", tokenizer: "mixtral-A"}, {name: "grok1-A", tokenizer: "qwen3moe-A"},
  {name: "grok2-A", tokenizer: "qwen3moe-A"},
  // llama.cpp rounds YaRN's range where the official code and we do not.
  {name: "gptoss-A", tokenizer: "qwen3moe-A", tolerance: 2e-2},
];
// llama.cpp keeps keys and values in f16, and evaluates GELU by a table in f16. Activations of eight bits, which the two
// round in different ways, turn routers: later tokens of q8_0 are not compared.
const tolerances = {f32: 2e-3, q8_0: 3e-2};
const greedyTokens = {f32: 12, q8_0: 1};

// A folder of the model's files, with a tokenizer.
function folderOf(arch, family, scratch) {
  const folder = join(scratch, family.name);
  mkdirSync(folder);
  const link = (from, file) => symlinkSync(resolve(arch, from, "hf", file), join(folder, file));
  for (const file of ["config.json", "model.safetensors"]) link(family.name, file);
  link(family.tokenizer ?? family.name, "tokenizer.json");
  return folder;
}

export async function checkMixtures(llama, shared, judge, engine) {
  const arch = join(shared, "golden/arch");
  if (!existsSync(arch)) return;
  const scratch = mkdtempSync(join(tmpdir(), "maestrale-peers-"));
  for (const family of families) {
    const folder = folderOf(arch, family, scratch);
    const prompts = JSON.parse(readFileSync(join(arch, family.name, "expected.json"))).prompts;
    const tokens = prompts.at(-1).tokens;
    for (const [type, tolerance] of Object.entries(tolerances)) {
      const file = join(scratch, `${family.name}-${type}.gguf`);
      execFileSync(engine.maestrale, ["convert", folder, file, "--type", type, "--quiet"]);
      const model = await llama.loadModel({modelPath: file});
      const context = await model.createContext({contextSize: 256, threads: 1, flashAttention: false});
      const allowed = family.tolerance ?? tolerance;
      const {difference, greedy} = await engine.compare(context.getSequence(), file, tokens, greedyTokens[type], allowed);
      console.log(`largest difference of a probability, ${family.name} as ${type}: ${difference.toExponential(2)}`);
      judge(`probabilities of ${family.name} as ${type}`,
            difference <= allowed ? "" : `differ by ${difference}, tolerance ${allowed}`);
      judge(`greedy tokens of ${family.name} as ${type}`, greedy);
      await context.dispose();
      await model.dispose();
      rmSync(file);
    }
  }
  rmSync(scratch, {recursive: true});
}
