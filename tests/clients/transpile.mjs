// Turns TypeScript on stdin into JavaScript for node. Types are checked by the linter of the documents, not here.

import { readFileSync } from "node:fs";
import ts from "typescript";

const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
const { outputText } = ts.transpileModule(readFileSync(0, "utf8"), { compilerOptions: options });
process.stdout.write(outputText);
