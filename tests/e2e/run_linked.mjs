// Runs llama.cpp linked into one file (llama.node) on a prompt of the test vocabulary:
// the ids are written as their tokens, "<t5><t17>…". Options: JSON in the first argument.
import {createRequire} from "module";
import {resolve} from "path";

const options = JSON.parse(process.argv[2]);
const require = createRequire(resolve(options.engine) + "/");
const {loadModel} = require("@fugood/llama.node");

const context = await loadModel({
    model: options.model, n_ctx: 256, n_gpu_layers: 0, n_threads: 1, use_mmap: true, no_extra_bufts: true,
    flash_attn_type: options.flash ? "on" : "off", cache_type_k: "f32", cache_type_v: "f32"
});
const result = await context.completion({
    prompt: options.prompt.map((id) => `<t${id}>`).join(""), n_predict: 1, temperature: 0
});
console.log("evaluated", options.prompt.length, JSON.stringify(result.text ?? ""));
await context.release();
