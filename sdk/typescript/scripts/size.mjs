// Measures what a page has to load. Each entry point is bundled, minified and compressed, and its size is compared with
// the limit in package.json.
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const { sizes, dependencies } = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
if (dependencies) throw new Error("the client has no dependencies");
for (const [entry, limit] of Object.entries(sizes)) {
  const options = { entryPoints: [`dist/${entry}.js`], bundle: true, minify: true, format: "esm", write: false, external: ["react"] };
  const { outputFiles } = await build(options);
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  console.log(`${entry}: ${size} bytes of at most ${limit}`);
  if (size > limit) process.exitCode = 1;
}
