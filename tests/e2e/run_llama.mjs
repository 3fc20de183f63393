// Runs an unmodified llama.cpp (node-llama-cpp) on token ids: a prompt, then one
// pass for each later id. Options: JSON in the first argument.
import {createRequire} from "module";
import {resolve} from "path";
import {pathToFileURL} from "url";

const options = JSON.parse(process.argv[2]);
const require = createRequire(resolve(options.engine) + "/");
const {getLlama} = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);

const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "error"});
const model = await llama.loadModel({modelPath: options.model});
const context = await model.createContext({
    contextSize: 256, batchSize: options.batch ?? 512, threads: 1, flashAttention: options.flash,
    experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"
});
const sequence = context.getSequence();
// One token is sampled, and thrown away: so the logits of the last row are computed.
async function evaluate(ids) {
    for await (const token of sequence.evaluate(ids, {temperature: 0}))
        return token;
}
await evaluate(options.prompt);
for (const id of options.steps)
    await evaluate([id]);
console.log("evaluated", options.prompt.length + options.steps.length);
await context.dispose();
await llama.dispose();
