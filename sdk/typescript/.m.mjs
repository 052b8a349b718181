import { build } from "esbuild"; import {gzipSync} from "node:zlib"; import {writeFileSync} from "node:fs";
const o={entryPoints:["dist/index.js"],bundle:true,minify:true,format:"esm",write:false,metafile:true};
const r=await build(o); const t=Buffer.from(r.outputFiles[0].contents); writeFileSync("/tmp/bundle22.js", t);
const g=(b)=>gzipSync(b,{level:9}).length; const all=g(t); let at=0;
for (const [k,v] of Object.entries(Object.values(r.metafile.outputs)[0].inputs)) { const n=v.bytesInOutput; console.log(k.padEnd(28), n, all-g(Buffer.concat([t.subarray(0,at),t.subarray(at+n)]))); at+=n; }
console.log(all, all-12288);
