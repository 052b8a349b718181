// Builds both pages into the folders from which the server embeds them. The names of scripts and styles contain a
// digest of their contents, so that browsers can cache them for ever. `node build.mjs --check` writes nothing, and
// fails if the committed files differ from the build.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = new URL("./", import.meta.url);
const client = (file) => fileURLToPath(new URL(`../typescript/src/${file}`, here));
const isCheck = process.argv.includes("--check");
const { sizes } = JSON.parse(await readFile(new URL("package.json", here), "utf8"));

for (const page of ["chat", "ops"]) {
  const files = await built(page);
  const folder = new URL(`../../src/web/${page}/`, here);
  await mkdir(folder, { recursive: true });
  const differs = await differences(folder, files);
  if (isCheck && differs.length > 0) {
    console.error(`pages: ${differs.join(", ")} of ${fileURLToPath(folder)} is not what build.mjs builds: run it, and commit.`);
    process.exitCode = 1;
  }
  if (!isCheck) await write(folder, files, differs);
  const size = [...files.values()].reduce((sum, bytes) => sum + gzipSync(bytes, { level: 9 }).length, 0);
  console.log(`${page}: ${size} bytes compressed, of at most ${sizes[page]}`);
  if (size > sizes[page]) process.exitCode = 1;
}

async function built(page) {
  const { outputFiles } = await build({
    entryPoints: { page: fileURLToPath(new URL(`${page}/main.tsx`, here)), style: fileURLToPath(new URL(`${page}/page.css`, here)) },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    write: false,
    outdir: "out",
    alias: {
      "@verbatim/client/store": client("store/index.ts"),
      "@verbatim/client/tabs": client("tabs/index.ts"),
      "@verbatim/client": client("index.ts"),
    },
  });
  const files = new Map();
  let html = await readFile(new URL(`${page}/index.html`, here), "utf8");
  for (const { path, contents } of outputFiles) {
    const plain = path.endsWith(".js") ? "page.js" : "style.css";
    const named = plain.replace(".", `-${createHash("sha256").update(contents).digest("hex").slice(0, 12)}.`);
    files.set(plain, Buffer.from(contents));
    html = html.replace(`"${plain}"`, `"${named}"`);
  }
  files.set("index.html", Buffer.from(html));
  return files;
}

// Versions of zlib compress differently, so the uncompressed contents are compared.
async function differences(folder, files) {
  const differs = [];
  for (const [name, bytes] of files) {
    const plain = await readFile(new URL(name, folder)).catch(() => undefined);
    const packed = await readFile(new URL(`${name}.gz`, folder)).then(gunzipSync).catch(() => undefined);
    if (!plain?.equals(bytes) || !packed?.equals(bytes)) differs.push(name);
  }
  const known = [...files.keys()].flatMap((name) => [name, `${name}.gz`]);
  const others = (await readdir(folder)).filter((name) => !known.includes(name) && !name.endsWith(".rs"));
  return [...differs, ...others];
}

async function write(folder, files, differs) {
  for (const name of differs) {
    const bytes = files.get(name);
    if (!bytes) {
      await rm(new URL(name, folder));
      continue;
    }
    await writeFile(new URL(name, folder), bytes);
    await writeFile(new URL(`${name}.gz`, folder), gzipSync(bytes, { level: 9 }));
  }
}
