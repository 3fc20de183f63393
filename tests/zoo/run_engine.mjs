// Runs an unmodified llama.cpp (node-llama-cpp) on token ids: a prompt, then one pass for each
// later id. Options: JSON in the first argument. encoder: embeds the prompt instead.
import {createRequire} from "module";
import {resolve} from "path";
import {pathToFileURL} from "url";

const options = JSON.parse(process.argv[2]);
const require = createRequire(resolve(options.engine) + "/");
const {getLlama} = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);

const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: options.log ?? "error"});
const model = await llama.loadModel({modelPath: options.model, defaultContextFlashAttention: false}).catch(async (error) => {
    await new Promise((resolve) => setTimeout(resolve, 500)); // what the engine says about it comes later
    throw error;
});

async function generate() {
    const context = await model.createContext({contextSize: 128, batchSize: 128, threads: 1, flashAttention: false,
        experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"});
    const sequence = context.getSequence();
    for (const ids of [options.prompt, ...options.steps.map((id) => [id])])
        for await (const _ of sequence.evaluate(ids, {temperature: 0}))
            break; // one token is sampled, so that the last row's logits are computed
    await context.dispose();
}

async function embed() {
    const context = await model.createEmbeddingContext({contextSize: 128, batchSize: 128, threads: 1});
    await context.getEmbeddingFor(options.prompt);
    await context.dispose();
}

await (options.encoder ? embed() : generate());
await llama.dispose();
