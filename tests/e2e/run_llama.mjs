// Runs an unmodified llama.cpp (node-llama-cpp) on token ids: a prompt, then one
// pass for each later id. Options: JSON in the first argument. gpu, layers: the back end
// ("vulkan"), and how many of the model's layers are on it; others: prompts of further sequences.
import {createRequire} from "module";
import {resolve} from "path";
import {pathToFileURL} from "url";

const options = JSON.parse(process.argv[2]);
const require = createRequire(resolve(options.engine) + "/");
const {getLlama} = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);

const llama = await getLlama({gpu: options.gpu ?? false, build: "never", skipDownload: true, logLevel: "error"});
const model = await llama.loadModel({modelPath: options.model, ...("layers" in options ? {gpuLayers: options.layers} : {})});
// One token is sampled, and thrown away: so the logits of the last row are computed.
async function evaluate(sequence, ids) {
    for await (const token of sequence.evaluate(ids, {temperature: 0}))
        return token;
}
const prompts = [options.prompt, ...(options.others ?? [])];
let seconds = 0;
for (let i = 0; i < (options.contexts ?? 1); i++) {
    const context = await model.createContext({
        contextSize: options.context ?? 256, batchSize: options.batch ?? 512, sequences: prompts.length, threads: options.threads ?? 1, flashAttention: options.flash,
        experimentalKvCacheKeyType: options.cache ?? "F32", experimentalKvCacheValueType: options.cache ?? "F32"
    });
    const sequences = prompts.map(() => context.getSequence());
    const start = performance.now();
    await Promise.all(sequences.map((sequence, k) => evaluate(sequence, prompts[k])));
    for (const id of options.steps)
        await Promise.all(sequences.map((sequence) => evaluate(sequence, [id])));
    seconds += (performance.now() - start) / 1000;
    if (i + 1 === (options.contexts ?? 1))
        await context.dispose();
}
console.log("evaluated", options.prompt.length + options.steps.length, ...(options.timed ? ["in", seconds.toFixed(4), "s"] : []));
await llama.dispose();
