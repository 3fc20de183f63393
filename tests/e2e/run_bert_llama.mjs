// Embeds token ids with an unmodified llama.cpp (node-llama-cpp).
import {createRequire} from "module";
import {resolve} from "path";
import {pathToFileURL} from "url";

const options = JSON.parse(process.argv[2]);
const require = createRequire(resolve(options.engine) + "/");
const {getLlama} = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);

const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "error"});
const model = await llama.loadModel({modelPath: options.model, defaultContextFlashAttention: options.flash});
const context = await model.createEmbeddingContext({contextSize: 128, batchSize: 128, threads: 1});
const embedding = await context.getEmbeddingFor(options.prompt);
console.log("embedded", embedding.vector.length);
await context.dispose();
await llama.dispose();
