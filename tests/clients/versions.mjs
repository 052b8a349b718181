// Prints the versions of the packages that are named, each of which can be loaded.
import { readFileSync } from "node:fs";

const versions = {};
for (const name of process.argv.slice(1)) {
  await import(name);
  versions[name] = JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;
}
console.log(JSON.stringify(versions));
