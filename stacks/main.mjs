// The program's entry is JavaScript, so that it runs under every version of Pulumi's Node.js language host:
// some ignore `nodeargs`, and then nothing else would load TypeScript.
import { register } from "tsx/esm/api";

register();
const { default: main, ...outputs } = await import("./index.ts");
export default main ?? outputs;
