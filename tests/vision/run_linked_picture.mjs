// Runs llama.node (llama.cpp, prebuilt) on a text with a picture. Options: JSON in the first argument; the prompt has <__media__> for the picture.
import {createRequire} from "module";
import {resolve} from "path";

const options = JSON.parse(process.argv[2]);
const require = createRequire(resolve(options.engine) + "/");
const {loadModel} = require("@fugood/llama.node");

const context = await loadModel({
    model: options.model, n_ctx: 1024, n_batch: 512, n_ubatch: 512, n_gpu_layers: 0, n_threads: 1, use_mmap: true, no_extra_bufts: true,
    flash_attn_type: "off", cache_type_k: "f32", cache_type_v: "f32", ctx_shift: false
});
if (!context.initMultimodal({path: options.mmproj, use_gpu: false}))
    throw new Error("the projector could not be loaded");
const result = await context.completion({prompt: options.prompt, media_paths: [options.picture], n_predict: 1, temperature: 0});
console.log("evaluated", result.tokens_evaluated, JSON.stringify(result.text ?? ""));
await context.release();
