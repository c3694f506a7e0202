// Embeddings of tiny encoders (tests/system/encoder_models.py) by MAESTRALE against llama.cpp's.
import {execFileSync} from "node:child_process";
import {mkdtempSync, rmSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";

const kinds = ["bert", "nomic-bert", "jina-bert-v2"];
const lines = ["the cat sat on the mat.", "a dog ran far, far", "walked", "the sun and the moon in the red house of a bird"];
const tolerance = 4e-3;  // llama.cpp's gelu is the tanh form from a table in f16

function writeModel(kind, file) {
  const program = "import sys; sys.path.insert(0, 'tests/system'); from encoder_models import TinyEncoder; " +
    "open(sys.argv[2], 'wb').write(TinyEncoder(sys.argv[1]).gguf())";
  execFileSync("python3", ["-c", program, kind, file]);
}

function normalised(vector) {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

// judge(what, problem): an empty problem is a pass.
export async function checkEmbeddings(llama, maestrale, judge) {
  const scratch = mkdtempSync(join(tmpdir(), "maestrale-peers-"));
  for (const kind of kinds) {
    const file = join(scratch, `${kind}.gguf`);
    writeModel(kind, file);
    const ours = JSON.parse(execFileSync(maestrale, ["embed", file, "--json", "--quiet"],
                                         {encoding: "utf8", input: lines.join("\n")})).embeddings;
    const model = await llama.loadModel({modelPath: file});
    const context = await model.createEmbeddingContext({contextSize: 48, batchSize: 48, threads: 1});
    let worst = 0;
    for (const [i, line] of lines.entries()) {
      const theirs = normalised([...(await context.getEmbeddingFor(line)).vector]);
      worst = Math.max(worst, ...theirs.map((value, at) => Math.abs(value - ours[i].embedding[at])));
    }
    console.log(`largest difference of an embedding's element, ${kind}: ${worst.toExponential(2)}`);
    judge(`embeddings of ${kind}`, worst <= tolerance ? "" : `differ by ${worst}, tolerance ${tolerance}`);
    await model.dispose();
  }
  rmSync(scratch, {recursive: true});
}
